// Which rope_scaling gives the frequencies that a checkpoint holds. The checkpoint does not say how they were computed:
// candidates are computed as an import computes them, and one counts only where every frequency is the same to the bit.
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/importers/config_reader.hpp"
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/rope_scaling.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera {

namespace {

using nlohmann::json;

/// What is looked for.
struct Wanted {
  const ModelShape& shape;
  const std::vector<double>& frequencies;
  double magnitude;

  bool is_given_by(const json& parameters) const {
    const json nothing = json::object();
    const auto rope =
        read_rope(ConfigReader(nothing, "rope"), ConfigReader(parameters, "rope"), shape, shape.rope_theta);
    return rope && rope->frequencies == frequencies && rope->magnitude == magnitude &&
           rope->context_length == shape.context_length;
  }
};

/// A quotient as it may have been written, and as it is.
std::array<double, 2> readings_of(double quotient) {
  constexpr double decimals = 1e4;
  return {std::round(quotient * decimals) / decimals, quotient};
}

/// Contexts that a model may have been trained with before its frequencies were scaled.
std::vector<double> original_contexts(const ModelShape& shape, double factor) {
  constexpr double least = 32, greatest = 1 << 24;
  std::vector<double> contexts = {std::round(shape.context_length / factor), static_cast<double>(shape.context_length)};
  for (double context = least; context <= greatest; context *= 2) contexts.push_back(context);
  return contexts;
}

/// The kinds that scale by one factor: the lowest frequency is divided by it.
json by_one_factor(const Wanted& wanted, double lowest_plain) {
  for (const double factor : readings_of(lowest_plain / wanted.frequencies.back())) {
    const json linear = {{"rope_type", "linear"}, {"factor", factor}};
    if (wanted.is_given_by(linear)) return linear;
    for (const double context : original_contexts(wanted.shape, factor)) {
      if (context < 1) continue;
      json yarn = {{"rope_type", "yarn"},
                   {"factor", factor},
                   {"original_max_position_embeddings", static_cast<std::uint64_t>(context)}};
      if (wanted.is_given_by(yarn)) return yarn;
      yarn["attention_factor"] = wanted.magnitude;
      if (wanted.is_given_by(yarn)) return yarn;
      const json llama3 = {{"rope_type", "llama3"},
                           {"factor", factor},
                           {"low_freq_factor", 1.0},
                           {"high_freq_factor", 4.0},
                           {"original_max_position_embeddings", static_cast<std::uint64_t>(context)}};
      if (wanted.is_given_by(llama3)) return llama3;
    }
  }
  return nullptr;
}

/// A divisor of `plain` that gives `wanted` to the bit, or the nearest one where no number does.
double divisor_of(double plain, double wanted) {
  constexpr int steps = 4;
  for (const double divisor : readings_of(plain / wanted)) {
    if (divisor > 0 && plain / divisor == wanted) return divisor;
  }
  double divisor = plain / wanted;
  for (int i = 0; i < steps; ++i) divisor = std::nextafter(divisor, 0.0);
  for (int i = 0; i < 2 * steps; ++i, divisor = std::nextafter(divisor, INFINITY)) {
    if (plain / divisor == wanted) return divisor;
  }
  return plain / wanted;
}

}  // namespace

json rope_scaling_of(const ModelShape& shape, const std::vector<double>& frequencies, double magnitude) {
  const Wanted wanted{shape, frequencies, magnitude};
  if (wanted.is_given_by(json::object()) || frequencies.empty()) return nullptr;
  const std::vector<double> plain = rope_frequencies(shape.rope_theta, shape.rope_width());
  if (json scaling = by_one_factor(wanted, plain.back()); !scaling.is_null()) return scaling;
  json factors = json::array();
  for (std::size_t i = 0; i < plain.size() && i < frequencies.size(); ++i) {
    factors.push_back(divisor_of(plain[i], frequencies[i]));
  }
  return {{"rope_type", "longrope"},
          {"short_factor", factors},
          {"long_factor", factors},
          {"attention_factor", magnitude},
          {"original_max_position_embeddings", shape.context_length}};
}

}  // namespace tessera
