#include "runtime/model/vector_sum.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/device/float_mode.hpp"

namespace tessera {

namespace {

constexpr double length_min = 1e-12;  // so that a vector of zeros stays one

}  // namespace

void VectorSum::add(std::span<const float> state) {
  const FlushDenormals flush;
  if (sums_.empty()) sums_.assign(state.size(), 0.0);
  for (std::size_t i = 0; i < state.size(); ++i) sums_[i] += static_cast<double>(state[i]);
  ++count_;
}

std::vector<float> VectorSum::vector(bool normalised) const {
  const FlushDenormals flush;
  std::vector<float> vector(sums_.size());
  for (std::size_t i = 0; i < vector.size(); ++i) {
    vector[i] = static_cast<float>(sums_[i] / static_cast<double>(count_));
  }
  if (!normalised) return vector;
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * static_cast<double>(value);
  const double length = std::max(std::sqrt(squares), length_min);
  for (float& value : vector) value = static_cast<float>(static_cast<double>(value) / length);
  return vector;
}

}  // namespace tessera
