#include "runtime/importers/rope_scaling.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/base/exact_math.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera {

namespace {

constexpr double two_pi = 6.283185307179586476925;

/// What a kind of scaling starts from.
struct Plain {
  const ConfigReader& config;
  const ConfigReader& parameters;
  std::uint32_t context_length;
  double theta;
  std::uint32_t width;
};

/// A number that must be positive and finite, and at least `least`.
Result<double> positive(const ConfigReader& fields, const char* key, double least = 0) {
  TESSERA_TRY(const double value, fields.required_number(key));
  if (std::isfinite(value) && value > 0 && value >= least) return value;
  return fields.wrong(key, *fields.find(key), least > 0 ? "a number of at least 1" : "a positive number");
}

Result<double> positive_or(const ConfigReader& fields, const char* key, double otherwise) {
  if (!fields.find(key)) return otherwise;
  return positive(fields, key);
}

/// original_max_position_embeddings, from the parameters or, as in older files, beside them.
Result<double> original_context(const Plain& plain, double otherwise) {
  if (plain.parameters.find("original_max_position_embeddings")) {
    return positive(plain.parameters, "original_max_position_embeddings", 1);
  }
  if (plain.config.find("original_max_position_embeddings")) {
    return positive(plain.config, "original_max_position_embeddings", 1);
  }
  return otherwise;
}

Result<void> scale_linear(const Plain& plain, RopeScaling& rope) {
  TESSERA_TRY(const double factor, positive(plain.parameters, "factor", 1));
  for (double& frequency : rope.frequencies) frequency /= factor;
  return {};
}

Result<void> scale_llama3(const Plain& plain, RopeScaling& rope) {
  TESSERA_TRY(const double factor, positive(plain.parameters, "factor", 1));
  TESSERA_TRY(const double low, positive(plain.parameters, "low_freq_factor"));
  TESSERA_TRY(const double high, positive(plain.parameters, "high_freq_factor"));
  TESSERA_TRY(const double original, positive(plain.parameters, "original_max_position_embeddings", 1));
  if (high <= low) {
    return plain.parameters.wrong("high_freq_factor", *plain.parameters.find("high_freq_factor"),
                                  "greater than low_freq_factor");
  }
  for (double& frequency : rope.frequencies) {
    const double length = two_pi / frequency;
    if (length < original / high) continue;
    if (length > original / low) {
      frequency /= factor;
    } else {
      const double smooth = (original / length - low) / (high - low);
      frequency = (1 - smooth) * frequency / factor + smooth * frequency;
    }
  }
  return {};
}

double yarn_magnitude(double factor, double scale) { return factor <= 1 ? 1 : 0.1 * scale * exact::log(factor) + 1; }

Result<double> yarn_attention_factor(const ConfigReader& fields, double factor) {
  if (fields.find("attention_factor")) return positive(fields, "attention_factor");
  TESSERA_TRY(const double scale, fields.number_or("mscale", 0));
  TESSERA_TRY(const double scale_all, fields.number_or("mscale_all_dim", 0));
  if (scale == 0 || scale_all == 0) return yarn_magnitude(factor, 1);
  return yarn_magnitude(factor, scale) / yarn_magnitude(factor, scale_all);
}

Result<void> scale_yarn(const Plain& plain, RopeScaling& rope) {
  const ConfigReader& fields = plain.parameters;
  TESSERA_TRY(const double original, original_context(plain, plain.context_length));
  double factor = plain.context_length / original;
  if (fields.find("factor")) {
    TESSERA_TRY(factor, positive(fields, "factor", 1));
  }
  TESSERA_TRY(rope.magnitude, yarn_attention_factor(fields, factor));
  TESSERA_TRY(const double fast, positive_or(fields, "beta_fast", 32));
  TESSERA_TRY(const double slow, positive_or(fields, "beta_slow", 1));
  TESSERA_TRY(const bool truncate, fields.flag_or("truncate", true));
  if (plain.theta <= 1) return fields.unsupported("rope_theta", std::to_string(plain.theta), "more than 1");
  // The pair whose wave turns so often within the original context.
  const double width = plain.width;
  const auto pair_of = [&](double turns) {
    return width * exact::log(original / (turns * two_pi)) / (2 * exact::log(plain.theta));
  };
  double low = pair_of(fast), high = pair_of(slow);
  if (truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, width - 1);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < rope.frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    const double frequency = rope.frequencies[i];
    rope.frequencies[i] = frequency / factor * ramp + frequency * (1 - ramp);
  }
  return {};
}

Result<void> scale_longrope(const Plain& plain, RopeScaling& rope) {
  const ConfigReader& fields = plain.parameters;
  TESSERA_TRY(const double original, original_context(plain, plain.context_length));
  TESSERA_TRY(const std::vector<double> factors, fields.numbers("short_factor", rope.frequencies.size()));
  TESSERA_CHECK(fields.numbers("long_factor", rope.frequencies.size()));
  for (std::size_t i = 0; i < factors.size(); ++i) {
    if (!std::isfinite(factors[i]) || factors[i] <= 0) {
      return fields.wrong("short_factor", *fields.find("short_factor"), "a list of positive numbers");
    }
    rope.frequencies[i] /= factors[i];
  }
  double factor = plain.context_length / original;
  if (factor == 1 && fields.find("factor")) {
    TESSERA_TRY(factor, positive(fields, "factor", 1));
  }
  if (fields.find("attention_factor")) {
    TESSERA_TRY(rope.magnitude, positive(fields, "attention_factor"));
  } else if (factor > 1 && original > 1) {
    rope.magnitude = std::sqrt(1 + exact::log(factor) / exact::log(original));
  }
  rope.context_length = static_cast<std::uint32_t>(std::min<double>(plain.context_length, original));
  return {};
}

/// Every field, since one that is not known may change the mathematics.
Result<void> check_fields(const ConfigReader& parameters) {
  constexpr const char* known[] = {"rope_type",
                                   "type",
                                   "rope_theta",
                                   "partial_rotary_factor",
                                   "factor",
                                   "low_freq_factor",
                                   "high_freq_factor",
                                   "beta_fast",
                                   "beta_slow",
                                   "attention_factor",
                                   "mscale",
                                   "mscale_all_dim",
                                   "truncate",
                                   "finetuned",
                                   "short_factor",
                                   "long_factor",
                                   "original_max_position_embeddings"};
  for (const auto& [key, value] : parameters.object().items()) {
    if (std::find(std::begin(known), std::end(known), key) != std::end(known)) continue;
    return parameters.unsupported(ConfigReader::quoted(key), ConfigReader::shown(value),
                                  "the fields of default, linear, llama3, yarn and longrope");
  }
  return {};
}

}  // namespace

Result<void> check_frequencies(const std::vector<double>& frequencies, const std::string& where) {
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    if (frequencies[i] > 0 && frequencies[i] <= 1) continue;
    return Error{ErrorCode::corrupt, where + ": the scaled frequency of RoPE " + std::to_string(i) + " is " +
                                         std::to_string(frequencies[i]) + "; it must lie above 0 and be at most 1"};
  }
  return {};
}

Result<RopeScaling> read_rope(const ConfigReader& config, const ConfigReader& parameters, const ModelShape& shape,
                              double theta) {
  TESSERA_CHECK(check_fields(parameters));
  TESSERA_TRY(const std::string old_name, parameters.text_or("type", "default"));
  TESSERA_TRY(const std::string kind, parameters.text_or("rope_type", old_name.c_str()));
  RopeScaling rope;
  TESSERA_TRY(rope.theta, parameters.number_or("rope_theta", theta));
  if (!std::isfinite(rope.theta) || rope.theta < 1) {
    return Error{ErrorCode::corrupt, config.where() + ": rope_theta is " + std::to_string(rope.theta) +
                                         "; it must be a number of at least 1"};
  }
  rope.frequencies = rope_frequencies(rope.theta, shape.rope_width());
  rope.context_length = shape.context_length;
  const Plain plain{config, parameters, shape.context_length, rope.theta, shape.rope_width()};
  Result<void> scaled;
  if (kind == "linear") {
    scaled = scale_linear(plain, rope);
  } else if (kind == "llama3") {
    scaled = scale_llama3(plain, rope);
  } else if (kind == "yarn") {
    scaled = scale_yarn(plain, rope);
  } else if (kind == "longrope" || kind == "su") {
    scaled = scale_longrope(plain, rope);
  } else if (kind != "default") {
    const std::string why =
        kind == "dynamic" ? " (dynamic scaling makes a token depend on the length of the text)" : "";
    return config.unsupported("rope_scaling", ConfigReader::quoted(kind) + why,
                              "default, linear, llama3, yarn, longrope");
  }
  TESSERA_CHECK(scaled);
  TESSERA_CHECK(check_frequencies(rope.frequencies, config.where()));
  return rope;
}

Result<RopeScaling> read_rope(const ConfigReader& config, const ModelShape& shape, double theta_default) {
  TESSERA_TRY(const double theta, config.number_or("rope_theta", theta_default));
  for (const char* const key : {"rope_parameters", "rope_scaling"}) {
    if (!config.find(key)) continue;
    TESSERA_TRY(const ConfigReader parameters, config.object_of(key));
    return read_rope(config, parameters, shape, theta);
  }
  const nlohmann::json nothing = nlohmann::json::object();
  return read_rope(config, ConfigReader(nothing, config.where()), shape, theta);
}

}  // namespace tessera
