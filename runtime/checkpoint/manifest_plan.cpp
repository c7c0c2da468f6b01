// The block plan in the manifest's JSON: only the fields that differ from the default are there.
#include <cmath>
#include <string_view>
#include <type_traits>

#include <nlohmann/json.hpp>

#include "runtime/checkpoint/manifest_fields.hpp"

namespace tessera {

namespace {

using nlohmann::json;

/// Calls visit(key, &BlockPlan::field) for every field.
template <typename Visit>
void for_each_field(const Visit& visit) {
  visit("norm", &BlockPlan::norm);
  visit("activation", &BlockPlan::activation);
  visit("positions", &BlockPlan::positions);
  visit("gated_ffn", &BlockPlan::gated_ffn);
  visit("attn_in_bias", &BlockPlan::attn_in_bias);
  visit("attn_out_bias", &BlockPlan::attn_out_bias);
  visit("ffn_bias", &BlockPlan::ffn_bias);
  visit("qk_norm", &BlockPlan::qk_norm);
  visit("post_norms", &BlockPlan::post_norms);
  visit("parallel_residual", &BlockPlan::parallel_residual);
  visit("sum_norms", &BlockPlan::sum_norms);
  visit("embedding_norm", &BlockPlan::embedding_norm);
  visit("bidirectional", &BlockPlan::bidirectional);
  visit("head", &BlockPlan::head);
  visit("rope_dims", &BlockPlan::rope_dims);
  visit("rope_magnitude", &BlockPlan::rope_magnitude);
  visit("local_rope", &BlockPlan::local_rope);
  visit("window", &BlockPlan::window);
  visit("windowed_layers", &BlockPlan::windowed_layers);
  visit("rotated_layers", &BlockPlan::rotated_layers);
  visit("attention_scalar", &BlockPlan::attention_scalar);
  visit("attention_soft_cap", &BlockPlan::attention_soft_cap);
  visit("logits_soft_cap", &BlockPlan::logits_soft_cap);
  visit("embedding_scale", &BlockPlan::embedding_scale);
  visit("experts", &BlockPlan::experts);
  visit("experts_used", &BlockPlan::experts_used);
  visit("experts_normalised", &BlockPlan::experts_normalised);
  visit("dense_layers", &BlockPlan::dense_layers);
  visit("dense_ffn_dim", &BlockPlan::dense_ffn_dim);
}

json to_json_value(float value) { return static_cast<double>(value); }
json to_json_value(NormKind value) { return to_string(value); }
json to_json_value(Activation value) { return to_string(value); }
json to_json_value(PositionKind value) { return to_string(value); }
template <typename T>
json to_json_value(const T& value) {
  return value;
}

template <typename T>
bool take_parsed(const std::optional<T>& parsed, T& out) {
  if (parsed) out = *parsed;
  return parsed.has_value();
}

/// Whether `value` is what the field holds.
bool take(const json& value, bool& out) {
  if (value.is_boolean()) out = value.get<bool>();
  return value.is_boolean();
}
bool take(const json& value, std::uint32_t& out) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > UINT32_MAX) return false;
  out = static_cast<std::uint32_t>(value.get<std::uint64_t>());
  return true;
}
bool take(const json& value, double& out) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) return false;
  out = value.get<double>();
  return true;
}
bool take(const json& value, float& out) {
  double number = 0;
  if (!take(value, number) || std::fabs(number) > 1e9) return false;
  out = static_cast<float>(number);
  return static_cast<double>(out) == number;
}
bool take(const json& value, std::string& out) {
  if (value.is_string()) out = value.get<std::string>();
  return value.is_string();
}
bool take(const json& value, NormKind& out) {
  return value.is_string() && take_parsed(parse_norm_kind(value.get_ref<const std::string&>()), out);
}
bool take(const json& value, Activation& out) {
  return value.is_string() && take_parsed(parse_activation(value.get_ref<const std::string&>()), out);
}
bool take(const json& value, PositionKind& out) {
  return value.is_string() && take_parsed(parse_position_kind(value.get_ref<const std::string&>()), out);
}

}  // namespace

json plan_to_json(const BlockPlan& plan) {
  json fields = json::object();
  for_each_field([&](const char* key, auto field) {
    if (plan.*field != BlockPlan{}.*field) fields[key] = to_json_value(plan.*field);
  });
  return fields;
}

Result<BlockPlan> parse_plan(const json& fields, const std::string& where) {
  constexpr std::size_t shown_bytes_max = 40;
  if (!fields.is_object()) {
    return Error{ErrorCode::corrupt,
                 where + ": manifest: the field shape.plan must be an object; import the model again"};
  }
  BlockPlan plan;
  std::size_t known = 0;
  std::string wrong;
  for_each_field([&](const char* key, auto field) {
    const auto found = fields.find(key);
    if (found == fields.end()) return;
    ++known;
    if (!take(*found, plan.*field) || plan.*field == BlockPlan{}.*field) wrong = key;
  });
  if (!wrong.empty()) {
    return Error{ErrorCode::corrupt, where + ": manifest: the field shape.plan." + wrong +
                                         " has no value that this build knows, or its default; import the model again"};
  }
  if (known == fields.size()) return plan;
  for (const auto& [key, value] : fields.items()) {
    bool is_known = false;
    for_each_field([&, &name = key](const char* other, auto) { is_known = is_known || name == other; });
    if (is_known) continue;
    const std::string shown = json(key).dump(-1, ' ', true, json::error_handler_t::replace).substr(0, shown_bytes_max);
    return Error{ErrorCode::unsupported, where + ": manifest: the model's plan has the field " + shown +
                                             ", which this build does not know; use a newer build"};
  }
  return plan;
}

}  // namespace tessera
