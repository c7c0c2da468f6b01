// VectorSum: the vector of one text, from the hidden states of its tokens (docs/exactness.md, "Vectors of texts").
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// One thread at a time.
class VectorSum {
 public:
  /// The next state, [dim]; all of one text, in order.
  void add(std::span<const float> state);
  std::uint32_t count() const { return count_; }
  /// Their mean, [dim]; `normalised`: scaled to length 1. At least one was added.
  std::vector<float> vector(bool normalised) const;

 private:
  std::vector<double> sums_;
  std::uint32_t count_ = 0;
};

}  // namespace tessera
