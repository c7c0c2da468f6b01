// GradientTree: adds the gradients of a step's micro-batches by the canonical tree, sum[a, b) = sum[a, m) + sum[m, b),
// m = (a + b) / 2. The leaves are computed one after the other here; whoever computes some of them elsewhere sends the
// sums of complete subtrees and gets the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/training/training_ops.hpp"

namespace tessera {

/// Confined to the thread of `ops`, which outlives it.
class GradientTree {
 public:
  /// Of gradients of `size` floats.
  GradientTree(std::size_t size, TrainingOps& ops) : size_(size), ops_(ops) {}

  /// Calls leaf(i, out) for i = 0 .. leaves - 1 in order, and returns the sum of what they wrote; valid until the next
  /// call. leaves >= 1.
  const float* sum(std::uint32_t leaves, const std::function<void(std::uint32_t, float*)>& leaf);

  /// Gradients that lie in memory at once.
  static std::uint32_t buffers(std::uint32_t leaves);

 private:
  void sum_range(std::uint32_t begin, std::uint32_t end, std::uint32_t level,
                 const std::function<void(std::uint32_t, float*)>& leaf);

  std::size_t size_;
  TrainingOps& ops_;
  std::vector<AlignedBuffer<float>> levels_;
};

}  // namespace tessera
