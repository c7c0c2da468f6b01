// Samples of one figure: medians with a confidence interval, and ratios of figures that were taken in turns.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace tessera::bench {

class Samples {
 public:
  void add(double value) { values_.push_back(value); }
  std::size_t count() const { return values_.size(); }
  double median() const { return quantile(0.5); }
  /// Distribution-free 95 % interval of the median, from order statistics (normal approximation of the binomial ranks).
  double low() const;
  double high() const;
  /// Sample by sample: both were taken right after each other, so a slow phase of the machine hits both.
  Samples over(const Samples& other) const;

 private:
  double quantile(double share) const;
  double ranked(double rank) const;
  std::vector<double> values_;
};

/// "31.9 [31.2, 32.4]"
std::string text_of(const Samples& samples, int digits);
nlohmann::json json_of(const Samples& samples);

}  // namespace tessera::bench
