#include "bench/samples.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace tessera::bench {

double Samples::ranked(double rank) const {
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  if (sorted.empty()) return 0;
  const double bounded = std::clamp(rank, 0.0, static_cast<double>(sorted.size() - 1));
  const auto below = static_cast<std::size_t>(bounded);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (bounded - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double Samples::quantile(double share) const { return ranked(share * static_cast<double>(values_.size() - 1)); }

double Samples::low() const {
  const double n = static_cast<double>(values_.size());
  return ranked(std::floor(n / 2 - 0.98 * std::sqrt(n)));
}

double Samples::high() const {
  const double n = static_cast<double>(values_.size());
  return ranked(std::ceil(n / 2 + 0.98 * std::sqrt(n)));
}

Samples Samples::over(const Samples& other) const {
  Samples ratio;
  for (std::size_t i = 0; i < std::min(values_.size(), other.values_.size()); ++i)
    ratio.add(values_[i] / other.values_[i]);
  return ratio;
}

std::string text_of(const Samples& samples, int digits) {
  char text[96];
  std::snprintf(text, sizeof text, "%.*f [%.*f, %.*f]", digits, samples.median(), digits, samples.low(), digits,
                samples.high());
  return text;
}

nlohmann::json json_of(const Samples& samples) {
  return {{"median", samples.median()}, {"low", samples.low()}, {"high", samples.high()}, {"samples", samples.count()}};
}

}  // namespace tessera::bench
