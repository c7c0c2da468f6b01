// Conventions: github.com/ggml-org/llama.cpp (its converter and its loader). What the files do not say (scales and
// patterns that are the same in all models of a family) is here.
#include "runtime/importers/gguf_family.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/base/decimal.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/hf_family.hpp"

namespace tessera {

namespace {

constexpr std::size_t shown_bytes_max = 100;

std::string quoted(std::string_view text) { return "'" + std::string(text.substr(0, shown_bytes_max)) + "'"; }

/// A window of `positions` in the layers that attention.sliding_window_pattern names (a list of flags, or a period
/// whose last layer sees everything); without it, in those of `period`; 0 and 1: in all.
Result<void> read_windows(const GgufKeys& keys, std::uint32_t positions_default, std::uint32_t period,
                          ModelShape& shape) {
  constexpr const char* pattern = "attention.sliding_window_pattern";
  TESSERA_TRY(const std::uint32_t positions, keys.count_or("attention.sliding_window", positions_default));
  if (positions == 0 || shape.layers > limits::layers_max) return {};  // validate() refuses too many layers
  std::string windowed;
  if (keys.file().is_array(keys.key(pattern))) {
    TESSERA_TRY(const std::vector<std::int64_t> flags, keys.file().integers(keys.key(pattern)));
    if (flags.size() != shape.layers) {
      return keys.wrong(pattern, "a list of " + std::to_string(flags.size()),
                        "one of its " + std::to_string(shape.layers) + " layers");
    }
    for (const std::int64_t flag : flags) windowed += flag != 0 ? '1' : '0';
  } else {
    TESSERA_TRY(const std::uint32_t every, keys.count_or(pattern, period));
    for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
      windowed += every > 1 && (layer + 1) % every == 0 ? '0' : '1';
    }
  }
  return set_windows(positions, std::move(windowed), keys.file().name(), shape);
}

/// The activation where the file names it. `name`: as Hugging Face does.
Result<void> read_activation(const GgufKeys& keys, Activation otherwise, ModelShape& shape) {
  shape.plan.activation = otherwise;
  TESSERA_TRY(const std::string_view name, keys.text_or("hidden_activation", ""));
  if (name.empty()) return {};
  if (name == "silu" || name == "swish") {
    shape.plan.activation = Activation::silu;
  } else if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast" || name == "gelu_tanh") {
    shape.plan.activation = Activation::gelu_tanh;
  } else if (name == "gelu") {
    shape.plan.activation = Activation::gelu_erf;
  } else {
    return keys.unsupported("hidden_activation", quoted(name), "silu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh");
  }
  return {};
}

Result<void> read_experts(const GgufKeys& keys, bool normalised, ModelShape& shape) {
  BlockPlan& plan = shape.plan;
  TESSERA_TRY(plan.experts, keys.count("expert_count"));
  TESSERA_TRY(plan.experts_used, keys.count("expert_used_count"));
  TESSERA_TRY(plan.experts_normalised, keys.flag_or("expert_weights_norm", normalised));
  constexpr std::uint32_t softmax = 1;
  TESSERA_TRY(const std::uint32_t gating, keys.count_or("expert_gating_func", softmax));
  if (gating > softmax) return keys.unsupported("expert_gating_func", std::to_string(gating), "1 (softmax)");
  TESSERA_TRY(const double scale, keys.number_or("expert_weights_scale", 1.0));
  if (scale != 0.0 && scale != 1.0) return keys.unsupported("expert_weights_scale", std::to_string(scale), "1");
  for (const char* const name : {"expert_shared_count", "expert_shared_feed_forward_length", "expert_group_count",
                                 "leading_dense_block_count"}) {
    TESSERA_TRY(const std::uint32_t count, keys.count_or(name, 0));
    const bool is_one_group = std::string_view(name) == "expert_group_count" && count == 1;
    if (count != 0 && !is_one_group) return keys.unsupported(name, std::to_string(count), "0");
  }
  return {};
}

/// Llama, Mistral, Mixtral: what they have decides which one it is.
Result<void> read_llama(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) {
  shape.plan.ffn_bias = facts.has("ffn_gate.bias") || facts.has("ffn_up.bias") || facts.has("ffn_down.bias");
  TESSERA_CHECK(read_windows(keys, 0, 0, shape));
  shape.family = shape.plan.window != 0 ? "mistral" : "llama-variant";
  TESSERA_TRY(const std::uint32_t experts, keys.count_or("expert_count", 0));
  if (experts == 0) return {};
  shape.family = "mixtral";
  return read_experts(keys, true, shape);
}

/// One layer in four is not rotated.
Result<void> read_smollm3(const GgufKeys& keys, const GgufFacts&, ModelShape& shape) {
  constexpr std::uint32_t period = 4;
  std::string rotated;
  for (std::uint32_t layer = 0; layer < shape.layers && layer < limits::layers_max; ++layer) {
    rotated += (layer + 1) % period != 0 ? '1' : '0';
  }
  if (rotated.find('0') != rotated.npos) shape.plan.rotated_layers = std::move(rotated);
  return read_windows(keys, 0, 0, shape);
}

Result<void> read_qwen2(const GgufKeys& keys, const GgufFacts&, ModelShape& shape) {
  return read_windows(keys, 0, 0, shape);
}

Result<void> read_qwen3(const GgufKeys& keys, const GgufFacts&, ModelShape& shape) {
  shape.plan.qk_norm = true;
  return read_windows(keys, 0, 0, shape);
}

Result<void> read_qwen3_moe(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) {
  TESSERA_CHECK(read_qwen3(keys, facts, shape));
  TESSERA_CHECK(read_experts(keys, true, shape));
  const std::uint32_t used = std::max(shape.plan.experts_used, 1u);
  TESSERA_TRY(shape.ffn_dim, keys.count_or("expert_feed_forward_length", shape.ffn_dim / used));
  return {};
}

/// What Gemma 1 to 3 share.
Result<void> read_gemma(const GgufKeys& keys, const GgufFacts&, ModelShape& shape) {
  shape.plan.embedding_scale = std::sqrt(static_cast<float>(shape.dim));
  return read_activation(keys, Activation::gelu_tanh, shape);
}

/// What Gemma 2 and 3 share. Scores are scaled by the width of a head, except in the largest model of each, whose
/// number of layers tells it, by that of a head if the heads filled the model.
Result<void> read_later_gemma(const GgufKeys& keys, const GgufFacts& facts, std::uint32_t layers_of_largest,
                              ModelShape& shape) {
  TESSERA_CHECK(read_gemma(keys, facts, shape));
  BlockPlan& plan = shape.plan;
  plan.post_norms = true;
  const bool is_largest = shape.layers == layers_of_largest && shape.heads != 0;
  if (plan.attention_scalar == 0) {
    plan.attention_scalar = static_cast<float>(is_largest ? shape.dim / shape.heads : shape.head_dim);
  }
  TESSERA_TRY(const double logits_cap, keys.number_or("final_logit_softcapping", 0));
  plan.logits_soft_cap = static_cast<float>(logits_cap);
  return {};
}

Result<void> read_gemma2(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) {
  constexpr std::uint32_t layers_of_27b = 46, positions = 4096, period = 2;
  constexpr double cap_default = 50, logits_cap_default = 30;
  TESSERA_CHECK(read_later_gemma(keys, facts, layers_of_27b, shape));
  TESSERA_TRY(const double cap, keys.number_or("attn_logit_softcapping", cap_default));
  shape.plan.attention_soft_cap = static_cast<float>(cap);
  if (!keys.contains("final_logit_softcapping")) shape.plan.logits_soft_cap = static_cast<float>(logits_cap_default);
  return read_windows(keys, positions, period, shape);
}

Result<void> read_gemma3(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) {
  constexpr std::uint32_t layers_of_27b = 62, period = 6;
  TESSERA_CHECK(read_later_gemma(keys, facts, layers_of_27b, shape));
  shape.plan.qk_norm = true;
  // Windowed layers rotate by frequencies of their own, even where the window covers the context.
  shape.plan.local_rope = true;
  TESSERA_CHECK(read_windows(keys, 0, period, shape));
  shape.plan.local_rope = shape.plan.window != 0;
  return {};
}

Result<void> read_phi3(const GgufKeys& keys, const GgufFacts&, ModelShape& shape) {
  return read_windows(keys, 0, 0, shape);
}

/// LayerNorm, biases, and no gate.
Result<void> read_gpt(const GgufKeys& keys, const GgufFacts&, Activation activation, ModelShape& shape) {
  BlockPlan& plan = shape.plan;
  plan.norm = NormKind::layer;
  plan.gated_ffn = false;
  plan.ffn_bias = true;
  return read_activation(keys, activation, shape);
}

Result<void> read_gpt2(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) {
  shape.plan.positions = PositionKind::learned;
  shape.plan.rope_dims = 0;
  return read_gpt(keys, facts, Activation::gelu_tanh, shape);
}

/// The files do not say which GELU it is; it is the exact one in Pythia and what followed it.
Result<void> read_gpt_neox(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) {
  TESSERA_TRY(shape.plan.parallel_residual, keys.flag_or("use_parallel_residual", true));
  return read_gpt(keys, facts, Activation::gelu_erf, shape);
}

constexpr const char* layer_norm_eps = "attention.layer_norm_epsilon";
constexpr const char* rms_norm_eps = "attention.layer_norm_rms_epsilon";

}  // namespace

Result<double> GgufKeys::number(std::string_view name) const {
  TESSERA_TRY(const double value, file_.number(key(name)));
  const auto narrow = static_cast<float>(value);
  return static_cast<double>(narrow) == value ? decimal_of(narrow) : value;
}

Result<double> GgufKeys::number_or(std::string_view name, double otherwise) const {
  return contains(name) ? number(name) : otherwise;
}

Error GgufKeys::wrong(std::string_view name, const std::string& value, const std::string& expected) const {
  return {ErrorCode::corrupt, file_.name() + ": " + key(name) + " is " + value + ", but should be " + expected};
}

Error GgufKeys::unsupported(std::string_view name, const std::string& value, const std::string& supported) const {
  return {ErrorCode::unsupported,
          file_.name() + ": " + key(name) + " is " + value + ", which is not supported; supported: " + supported};
}

std::span<const GgufFamily> gguf_families() {
  static constexpr GgufFamily families[] = {
      {"llama", "llama-variant", true, rms_norm_eps, read_llama},
      {"smollm3", "smollm3", true, rms_norm_eps, read_smollm3},
      {"qwen2", "qwen2", false, rms_norm_eps, read_qwen2},
      {"qwen3", "qwen3", false, rms_norm_eps, read_qwen3},
      {"qwen3moe", "qwen3_moe", false, rms_norm_eps, read_qwen3_moe},
      {"gemma", "gemma", false, rms_norm_eps, read_gemma},
      {"gemma2", "gemma2", false, rms_norm_eps, read_gemma2},
      {"gemma3", "gemma3_text", false, rms_norm_eps, read_gemma3},
      {"phi3", "phi3", false, rms_norm_eps, read_phi3},
      {"gpt2", "gpt2", false, layer_norm_eps, read_gpt2},
      {"gptneox", "gpt_neox", false, layer_norm_eps, read_gpt_neox},
  };
  return families;
}

}  // namespace tessera
