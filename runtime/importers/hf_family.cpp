// What families share, and the list of them.
#include "runtime/importers/hf_family.hpp"

#include <algorithm>
#include <utility>

#include "runtime/base/limits.hpp"

namespace tessera {

namespace {

constexpr HfRule plain_rules[] = {
    {"embedding", "{P}embed_tokens.weight"},
    {"final_norm", "{P}norm.weight"},
    {"head", "lm_head.weight"},
    {"attn_norm", "{P}layers.{L}.input_layernorm.weight"},
    {"attn_q", "{P}layers.{L}.self_attn.q_proj.weight"},
    {"attn_k", "{P}layers.{L}.self_attn.k_proj.weight"},
    {"attn_v", "{P}layers.{L}.self_attn.v_proj.weight"},
    {"attn_out", "{P}layers.{L}.self_attn.o_proj.weight"},
    {"ffn_norm", "{P}layers.{L}.post_attention_layernorm.weight"},
    {"ffn_gate", "{P}layers.{L}.mlp.gate_proj.weight"},
    {"ffn_up", "{P}layers.{L}.mlp.up_proj.weight"},
    {"ffn_down", "{P}layers.{L}.mlp.down_proj.weight"},
};

constexpr HfRule bias_rules[] = {
    {"attn_q_bias", "{P}layers.{L}.self_attn.q_proj.bias"}, {"attn_k_bias", "{P}layers.{L}.self_attn.k_proj.bias"},
    {"attn_v_bias", "{P}layers.{L}.self_attn.v_proj.bias"}, {"attn_out_bias", "{P}layers.{L}.self_attn.o_proj.bias"},
    {"ffn_gate_bias", "{P}layers.{L}.mlp.gate_proj.bias"},  {"ffn_up_bias", "{P}layers.{L}.mlp.up_proj.bias"},
    {"ffn_down_bias", "{P}layers.{L}.mlp.down_proj.bias"},
};

constexpr HfRule head_norm_rules[] = {
    {"attn_q_norm", "{P}layers.{L}.self_attn.q_norm.weight"},
    {"attn_k_norm", "{P}layers.{L}.self_attn.k_norm.weight"},
};

/// The list layer_types, one character per layer.
Result<std::string> read_layer_types(const ConfigReader& config, std::uint32_t layers) {
  const nlohmann::json& list = *config.find("layer_types");
  const std::string expected = "a list of " + std::to_string(layers) + " times full_attention or sliding_attention";
  if (!list.is_array() || list.size() != layers) return config.wrong("layer_types", list, expected);
  std::string windowed;
  for (const nlohmann::json& type : list) {
    if (type != "full_attention" && type != "sliding_attention") {
      return config.unsupported("layer_types", ConfigReader::shown(type), "full_attention, sliding_attention");
    }
    windowed += type == "sliding_attention" ? '1' : '0';
  }
  return windowed;
}

}  // namespace

HfPart hf_plain(const ModelShape&, const NamedMatrix& matrix) {
  HfPart part;
  if (!matrix.is_vector) part.shape.push_back(matrix.size.rows);
  part.shape.push_back(matrix.size.columns);
  return part;
}

HfPart hf_plus_one(const ModelShape& shape, const NamedMatrix& matrix) {
  HfPart part = hf_plain(shape, matrix);
  part.added = 1;
  return part;
}

std::span<const HfRule> llama_rules() { return plain_rules; }
std::span<const HfRule> llama_bias_rules() { return bias_rules; }
std::span<const HfRule> qk_norm_rules() { return head_norm_rules; }

const HfRule* find_rule(const HfFamily& family, std::string_view kind) {
  for (auto list = family.rules.rbegin(); list != family.rules.rend(); ++list) {
    for (const HfRule& rule : *list) {
      if (rule.ours == kind) return &rule;
    }
  }
  return nullptr;
}

std::span<const HfFamily> hf_families() {
  static const HfFamily families[] = {llama_family(),       mistral_family(),       smollm3_family(),  qwen2_family(),
                                      qwen3_family(),       gemma_family(),         gemma2_family(),   gemma3_family(),
                                      phi3_family(),        gpt2_family(),          gpt_neox_family(), mixtral_family(),
                                      qwen3_moe_family(),   gemma3_images_family(), bert_family(),     roberta_family(),
                                      xlm_roberta_family(), distilbert_family()};
  return families;
}

Result<ModelShape> read_llama_shape(const ConfigReader& config, const LlamaDefaults& defaults) {
  const auto count_of = [&](const char* key, std::uint32_t otherwise) {
    return otherwise == 0 ? config.required_count(key) : config.count_or(key, otherwise);
  };
  ModelShape shape;
  TESSERA_TRY(shape.dim, config.required_count("hidden_size"));
  TESSERA_TRY(shape.layers, config.required_count("num_hidden_layers"));
  TESSERA_TRY(shape.heads, count_of("num_attention_heads", defaults.heads));
  const bool as_many = !defaults.needs_kv_heads && defaults.kv_heads == 0 && shape.heads != 0;
  TESSERA_TRY(shape.kv_heads, count_of("num_key_value_heads", as_many ? shape.heads : defaults.kv_heads));
  TESSERA_TRY(shape.ffn_dim, config.required_count(defaults.ffn_dim));
  TESSERA_TRY(shape.vocab_size, count_of("vocab_size", defaults.vocab_size));
  TESSERA_TRY(shape.context_length, count_of("max_position_embeddings", defaults.context_length));
  std::uint32_t head_dim = defaults.head_dim;
  if (head_dim == 0 && !config.find("head_dim")) {
    if (shape.heads == 0 || shape.dim % shape.heads != 0) {
      return Error{ErrorCode::corrupt, config.where() + ": hidden_size " + std::to_string(shape.dim) +
                                           " is no multiple of its " + std::to_string(shape.heads) +
                                           " heads, and there is no head_dim"};
    }
    head_dim = shape.dim / shape.heads;
  }
  TESSERA_TRY(shape.head_dim, config.count_or("head_dim", head_dim));
  TESSERA_TRY(const double norm_eps, config.number_or("rms_norm_eps", defaults.norm_eps));
  shape.norm_eps = static_cast<float>(norm_eps);
  TESSERA_TRY(shape.tied_head, config.flag_or("tie_word_embeddings", defaults.tied_head));
  return shape;
}

Result<void> read_llama_rope(const ConfigReader& config, double theta_default, HfModel& model) {
  ModelShape probe = model.shape;
  probe.family = probe.plan == BlockPlan{} ? "llama" : "other";
  TESSERA_CHECK(validate(probe, config.where()));  // before anything is computed from it
  TESSERA_TRY(RopeScaling rope, read_rope(config, model.shape, theta_default));
  model.shape.rope_theta = rope.theta;
  model.shape.context_length = rope.context_length;
  model.shape.plan.rope_magnitude = rope.magnitude;
  model.rope_frequencies = std::move(rope.frequencies);
  return {};
}

Result<void> require_silu(const ConfigReader& config) {
  TESSERA_TRY(const std::string activation, config.text_or("hidden_act", "silu"));
  if (activation == "silu" || activation == "swish") return {};
  return config.unsupported("hidden_act", ConfigReader::quoted(activation), "silu");
}

Result<void> share_width(const ConfigReader& config, ModelShape& shape) {
  shape.kv_heads = shape.heads;
  if (shape.heads != 0 && shape.dim % shape.heads == 0) {
    shape.head_dim = shape.dim / shape.heads;
    return {};
  }
  return Error{ErrorCode::corrupt, config.where() + ": the width " + std::to_string(shape.dim) +
                                       " is no multiple of its " + std::to_string(shape.heads) + " heads"};
}

Result<Activation> read_activation(const ConfigReader& config, const char* key, const char* otherwise) {
  TESSERA_TRY(const std::string name, config.text_or(key, otherwise));
  if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast") return Activation::gelu_tanh;
  if (name == "gelu") return Activation::gelu_erf;
  return config.unsupported(key, ConfigReader::quoted(name), "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh");
}

Result<void> read_windows(const ConfigReader& config, std::uint32_t positions,
                          bool (*is_windowed)(std::uint32_t layer, std::uint32_t number), std::uint32_t number,
                          ModelShape& shape) {
  if (shape.layers > limits::layers_max) return {};  // validate() refuses it
  std::string windowed;
  if (config.find("layer_types")) {
    TESSERA_TRY(windowed, read_layer_types(config, shape.layers));
  } else {
    for (std::uint32_t layer = 0; layer < shape.layers; ++layer) windowed += is_windowed(layer, number) ? '1' : '0';
  }
  return set_windows(positions, std::move(windowed), config.where(), shape);
}

Result<void> set_windows(std::uint32_t positions, std::string windowed, const std::string& where, ModelShape& shape) {
  const bool any = windowed.find('1') != windowed.npos;
  if (!any || (positions >= shape.context_length && !shape.plan.local_rope)) return {};
  if (positions == 0) {
    return Error{ErrorCode::corrupt, where + ": sliding_window is 0; a token must see itself"};
  }
  shape.plan.window = positions;
  if (windowed.find('0') != windowed.npos) shape.plan.windowed_layers = std::move(windowed);
  return {};
}

}  // namespace tessera
