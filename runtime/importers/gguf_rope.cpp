// RoPE of a GGUF file: its keys become the parameters that config.json has for it, and are read as those are.
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/decimal.hpp"
#include "runtime/importers/config_reader.hpp"
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/gguf_family.hpp"
#include "runtime/importers/rope_scaling.hpp"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes_max = 100;

Result<json> yarn_parameters(const GgufKeys& keys, double factor) {
  json parameters = {{"rope_type", "yarn"}, {"factor", factor}};
  const std::pair<const char*, const char*> renamed[] = {
      {"rope.scaling.original_context_length", "original_max_position_embeddings"},
      {"rope.scaling.yarn_beta_fast", "beta_fast"},
      {"rope.scaling.yarn_beta_slow", "beta_slow"},
      {"rope.scaling.yarn_attn_factor", "attention_factor"}};
  for (const auto& [theirs, ours] : renamed) {
    if (!keys.contains(theirs)) continue;
    TESSERA_TRY(parameters[ours], keys.number(theirs));
  }
  // "yarn_log_multiplier" is mscale_all_dim where mscale is 1.
  TESSERA_TRY(const double log_multiplier, keys.number_or("rope.scaling.yarn_log_multiplier", 0));
  if (log_multiplier != 0) parameters["mscale"] = 1.0, parameters["mscale_all_dim"] = log_multiplier;
  TESSERA_TRY(const double extrapolation, keys.number_or("rope.scaling.yarn_ext_factor", 1));
  if (extrapolation != 1) {
    return keys.unsupported("rope.scaling.yarn_ext_factor", std::to_string(extrapolation), "1");
  }
  return parameters;
}

Result<json> longrope_parameters(const GgufKeys& keys, const std::vector<float>& divisors) {
  json factors = json::array();
  for (const float divisor : divisors) factors.push_back(decimal_of(divisor));
  json parameters = {{"rope_type", "longrope"}, {"short_factor", factors}, {"long_factor", factors}};
  if (keys.contains("rope.scaling.original_context_length")) {
    TESSERA_TRY(parameters["original_max_position_embeddings"], keys.number("rope.scaling.original_context_length"));
  }
  return parameters;
}

/// Empty object: plain RoPE.
Result<json> scaling_of(const GgufKeys& keys, const GgufFacts& facts) {
  if (!facts.rope_short_divisors.empty()) return longrope_parameters(keys, facts.rope_short_divisors);
  TESSERA_TRY(const double old_factor, keys.number_or("rope.scale_linear", 1.0));
  TESSERA_TRY(double factor, keys.number_or("rope.scaling.factor", old_factor));
  if (factor == 0.0) factor = 1.0;  // "none" in files of old converters
  TESSERA_TRY(const std::string_view kind, keys.text_or("rope.scaling.type", "linear"));
  if (kind == "none" || (kind == "linear" && factor == 1.0)) return json::object();
  if (kind == "linear") return json{{"rope_type", "linear"}, {"factor", factor}};
  if (kind == "yarn") return yarn_parameters(keys, factor);
  if (kind == "longrope") {
    return Error{ErrorCode::corrupt, keys.file().name() + ": " + keys.key("rope.scaling.type") +
                                         " is longrope, but the tensor rope_factors_short.weight is missing"};
  }
  return keys.unsupported("rope.scaling.type", "'" + std::string(kind.substr(0, shown_bytes_max)) + "'",
                          "none, linear, yarn, longrope");
}

/// rope_freqs.weight: a divisor of each frequency (how Llama 3's scaling is stored).
Result<void> divide(const GgufKeys& keys, const std::vector<float>& divisors, std::vector<double>& frequencies) {
  if (divisors.empty()) return {};
  if (divisors.size() != frequencies.size()) {
    return Error{ErrorCode::corrupt, keys.file().name() + ": tensor rope_freqs.weight has " +
                                         std::to_string(divisors.size()) + " values, but there are " +
                                         std::to_string(frequencies.size()) + " frequencies"};
  }
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    if (!std::isfinite(divisors[i]) || divisors[i] <= 0) {
      return Error{ErrorCode::corrupt, keys.file().name() + ": tensor rope_freqs.weight: value " + std::to_string(i) +
                                           " is " + std::to_string(divisors[i]) + "; it must be positive"};
    }
    frequencies[i] /= static_cast<double>(divisors[i]);
  }
  return check_frequencies(frequencies, keys.file().name() + ": tensor rope_freqs.weight");
}

/// rope.scaling.attn_factor, an f32, times the magnitude that follows from the kind of scaling; for longrope it is that
/// magnitude, which is kept as computed here where the f32 stands for it.
Result<double> magnitude_of(const GgufKeys& keys, bool is_longrope, double computed) {
  TESSERA_TRY(const double stored, keys.number_or("rope.scaling.attn_factor", is_longrope ? computed : 1.0));
  if (stored == 0.0) return computed;  // "none" in files of old converters
  if (!(stored > 0.0)) return keys.wrong("rope.scaling.attn_factor", std::to_string(stored), "positive");
  if (!is_longrope) return computed * stored;
  return static_cast<float>(stored) == static_cast<float>(computed) ? computed : stored;
}

}  // namespace

Result<RopeTables> read_gguf_rope(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) {
  if (shape.plan.positions != PositionKind::rotary) return RopeTables{};
  TESSERA_TRY(const double theta, keys.number_or("rope.freq_base", 10000.0));
  TESSERA_TRY(const json parameters, scaling_of(keys, facts));
  const json nothing = json::object();
  const std::string where = keys.file().name() + ": rope.scaling";
  TESSERA_TRY(RopeScaling rope, read_rope(ConfigReader(nothing, where), ConfigReader(parameters, where), shape, theta));
  TESSERA_CHECK(divide(keys, facts.rope_divisors, rope.frequencies));
  TESSERA_TRY(shape.plan.rope_magnitude, magnitude_of(keys, !facts.rope_short_divisors.empty(), rope.magnitude));
  shape.rope_theta = rope.theta;
  shape.context_length = rope.context_length;
  RopeTables tables{std::move(rope.frequencies), {}};
  if (shape.plan.local_rope) {
    TESSERA_TRY(const double local_theta, keys.number_or("rope.freq_base_swa", 10000.0));
    if (!(local_theta >= 1)) return keys.wrong("rope.freq_base_swa", std::to_string(local_theta), "at least 1");
    tables.local_frequencies = rope_frequencies(local_theta, shape.rope_width());
  }
  return tables;
}

}  // namespace tessera
