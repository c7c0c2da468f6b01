// StepRows: how many rows the steps of a conductor had: the sizes of its batches, counted since the beginning.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tessera {

struct StepRows {
  /// Of the counts below, the last excepted.
  static constexpr std::array<std::uint32_t, 10> bounds{1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

  std::array<std::uint64_t, bounds.size() + 1> steps{};  ///< with at most bounds[i] rows, and more than bounds[i - 1]
  std::uint64_t rows = 0;                                ///< of all of them

  void add(std::uint32_t count) {
    ++steps[static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), count) - bounds.begin())];
    rows += count;
  }
  bool operator==(const StepRows&) const = default;
};

}  // namespace tessera
