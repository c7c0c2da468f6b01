#include "runtime/tensor/block_plan.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "runtime/base/limits.hpp"

namespace tessera {

namespace {

constexpr std::array norm_kinds = {"rms", "layer"};
constexpr std::array activations = {"silu", "gelu_tanh", "gelu_erf"};
constexpr std::array position_kinds = {"rotary", "learned"};

template <typename Kind, std::size_t N>
std::optional<Kind> parse(const std::array<const char*, N>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Kind>(found - names.begin());
}

Error bad(const std::string& where, const std::string& field, const std::string& rule) {
  return {ErrorCode::corrupt, where + ": " + field + " " + rule};
}

Result<void> check_pattern(const std::string& pattern, const char* field, std::uint32_t layers,
                           const std::string& where) {
  const bool good = pattern.empty() || (pattern.size() == layers && pattern.find_first_not_of("01") == pattern.npos);
  if (good) return {};
  return bad(where, field, "must have a 0 or a 1 for each of the " + std::to_string(layers) + " layers");
}

Result<void> check_factor(double value, const char* field, bool zero_is_good, const std::string& where) {
  if (std::isfinite(value) && value <= 1e6 && (value > 0 || (value == 0 && zero_is_good))) return {};
  return bad(where, field, "is " + std::to_string(value) + "; it must be positive and at most a million");
}

Result<void> check_rope(const BlockPlan& plan, std::uint32_t head_dim, const std::string& where) {
  if (plan.rope_dims % 2 != 0 || plan.rope_dims > head_dim) {
    return bad(where, "rope_dims",
               "is " + std::to_string(plan.rope_dims) + "; it must be even and at most the " +
                   std::to_string(head_dim) + " elements of a head");
  }
  if (plan.local_rope && plan.window == 0) return bad(where, "local_rope", "needs a window");
  const bool rotary = plan.positions == PositionKind::rotary;
  if (!rotary && (plan.rope_dims != 0 || plan.rope_magnitude != 1 || plan.local_rope || !plan.rotated_layers.empty())) {
    return bad(where, "positions", "are learned, and there is something of RoPE as well");
  }
  return check_factor(plan.rope_magnitude, "rope_magnitude", false, where);
}

Result<void> check_experts(const BlockPlan& plan, std::uint32_t layers, const std::string& where) {
  if (plan.experts == 0) {
    if (plan.experts_used == 0 && !plan.experts_normalised && plan.dense_layers.empty()) return {};
    return bad(where, "experts_used or dense_layers", "is set, but there are no experts");
  }
  const auto dense = static_cast<std::uint32_t>(std::count(plan.dense_layers.begin(), plan.dense_layers.end(), '1'));
  if (!plan.dense_layers.empty() && (dense == 0 || dense == layers)) {
    return bad(where, "dense_layers", "must be some of the layers, but not all");
  }
  if (plan.experts > limits::experts_max || std::uint64_t{plan.experts} * layers > limits::layer_experts_max) {
    return bad(where, "experts",
               "is " + std::to_string(plan.experts) + "; at most " + std::to_string(limits::experts_max) +
                   " per layer and " + std::to_string(limits::layer_experts_max) + " in all are possible");
  }
  if (plan.experts_used == 0 || plan.experts_used > std::min(plan.experts, limits::experts_used_max)) {
    return bad(where, "experts_used",
               "is " + std::to_string(plan.experts_used) + "; it must lie in 1.." +
                   std::to_string(std::min(plan.experts, limits::experts_used_max)));
  }
  if (plan.ffn_bias || !plan.gated_ffn || plan.parallel_residual) {
    return bad(where, "experts", "need gated matrices without biases, after attention");
  }
  return {};
}

Result<void> check_dense_layers(const BlockPlan& plan, std::uint32_t layers, const std::string& where) {
  TESSERA_CHECK(check_pattern(plan.dense_layers, "dense_layers", layers, where));
  if (plan.dense_layers.empty() ? plan.dense_ffn_dim == 0
                                : plan.dense_ffn_dim >= 1 && plan.dense_ffn_dim <= limits::ffn_dim_max) {
    return {};
  }
  return bad(where, "dense_ffn_dim",
             "is " + std::to_string(plan.dense_ffn_dim) + "; with dense_layers it must lie in 1.." +
                 std::to_string(limits::ffn_dim_max) + ", without them it is 0");
}

Result<void> check_encoder(const BlockPlan& plan, const std::string& where) {
  if (plan.sum_norms && (plan.post_norms || plan.parallel_residual || plan.experts != 0)) {
    return bad(where, "sum_norms", "go with one feed-forward network after attention, without post_norms");
  }
  if (plan.bidirectional && (plan.head || plan.window != 0)) {
    return bad(where, "bidirectional", "needs a model without a head and windows");
  }
  if (!plan.head && plan.logits_soft_cap != 0) return bad(where, "logits_soft_cap", "needs a head");
  return {};
}

}  // namespace

const char* to_string(NormKind kind) { return norm_kinds[static_cast<std::size_t>(kind)]; }
const char* to_string(Activation activation) { return activations[static_cast<std::size_t>(activation)]; }
const char* to_string(PositionKind kind) { return position_kinds[static_cast<std::size_t>(kind)]; }
std::optional<NormKind> parse_norm_kind(std::string_view name) { return parse<NormKind>(norm_kinds, name); }
std::optional<Activation> parse_activation(std::string_view name) { return parse<Activation>(activations, name); }
std::optional<PositionKind> parse_position_kind(std::string_view name) {
  return parse<PositionKind>(position_kinds, name);
}

Result<void> validate(const BlockPlan& plan, std::uint32_t layers, std::uint32_t head_dim, const std::string& where) {
  TESSERA_CHECK(check_pattern(plan.windowed_layers, "windowed_layers", layers, where));
  TESSERA_CHECK(check_pattern(plan.rotated_layers, "rotated_layers", layers, where));
  if (plan.window == 0 && !plan.windowed_layers.empty()) return bad(where, "windowed_layers", "needs a window");
  if (plan.post_norms && (plan.norm != NormKind::rms || plan.parallel_residual)) {
    return bad(where, "post_norms", "need RMSNorm and attention before the FFN");
  }
  if (!plan.gated_ffn && plan.activation == Activation::silu) return bad(where, "activation", "silu needs a gate");
  TESSERA_CHECK(check_rope(plan, head_dim, where));
  TESSERA_CHECK(check_factor(static_cast<double>(plan.attention_scalar), "attention_scalar", true, where));
  TESSERA_CHECK(check_factor(static_cast<double>(plan.attention_soft_cap), "attention_soft_cap", true, where));
  TESSERA_CHECK(check_factor(static_cast<double>(plan.logits_soft_cap), "logits_soft_cap", true, where));
  TESSERA_CHECK(check_factor(static_cast<double>(plan.embedding_scale), "embedding_scale", false, where));
  TESSERA_CHECK(check_dense_layers(plan, layers, where));
  TESSERA_CHECK(check_experts(plan, layers, where));
  return check_encoder(plan, where);
}

}  // namespace tessera
