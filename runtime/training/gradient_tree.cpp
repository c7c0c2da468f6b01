#include "runtime/training/gradient_tree.hpp"

#include <bit>

#include "runtime/base/ensure.hpp"

namespace tessera {

std::uint32_t GradientTree::buffers(std::uint32_t leaves) {
  return 1 + static_cast<std::uint32_t>(std::bit_width(leaves - 1));
}

const float* GradientTree::sum(std::uint32_t leaves, const std::function<void(std::uint32_t, float*)>& leaf) {
  TESSERA_ENSURE(leaves > 0);
  while (levels_.size() < buffers(leaves)) levels_.emplace_back(size_);
  sum_range(0, leaves, 0, leaf);
  return levels_[0].data();
}

void GradientTree::sum_range(std::uint32_t begin, std::uint32_t end, std::uint32_t level,
                             const std::function<void(std::uint32_t, float*)>& leaf) {
  float* const out = levels_[level].data();
  if (end - begin == 1) return leaf(begin, out);
  const std::uint32_t middle = (begin + end) / 2;
  sum_range(begin, middle, level, leaf);
  sum_range(middle, end, level + 1, leaf);
  const float* const right = levels_[level + 1].data();
  ops_.each_run(size_, 4096, [&](std::size_t first, std::size_t last, std::uint32_t) {
    ops_.table().add(out + first, right + first, last - first, out + first);
  });
}

}  // namespace tessera
