#include "cluster/control/comparable_speeds.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace tessera {

namespace {

double comparable(double ratio) {
  if (ratio < speed_noise_factor && ratio > 1 / speed_noise_factor) return 1;
  return std::exp2(std::round(std::log2(ratio) * speed_steps_per_doubling) / speed_steps_per_doubling);
}

}  // namespace

std::vector<double> comparable_speeds(std::span<const double> measured) {
  if (measured.empty()) return {};
  std::vector<double> sorted(measured.begin(), measured.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const double median = *middle;
  std::vector<double> speeds;
  for (const double one : measured) speeds.push_back(comparable(one / median));
  return speeds;
}

}  // namespace tessera
