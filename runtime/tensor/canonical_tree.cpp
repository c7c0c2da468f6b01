#include "runtime/tensor/canonical_tree.hpp"

#include <algorithm>
#include <functional>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

/// Runs the stack program once, without numbers, to learn its greatest height.
std::uint32_t height_of(const std::vector<std::uint8_t>& merges_after) {
  std::uint32_t height = 0, greatest = 0;
  for (const std::uint8_t merges : merges_after) {
    greatest = std::max(greatest, ++height);
    TESSERA_ENSURE(merges < height);
    height -= merges;
  }
  return greatest;
}

}  // namespace

TreeSchedule schedule_run(std::uint32_t slices, SliceRange run) {
  TESSERA_ENSURE(run.begin <= run.end && run.end <= slices);
  TreeSchedule schedule;
  schedule.merges_after.assign(run.count(), 0);
  // Every node inside the run that is no leaf is one addition, done as soon as its last slice is there.
  const std::function<void(SliceRange, bool)> visit = [&](SliceRange node, bool inside_result) {
    if (node.end <= run.begin || run.end <= node.begin) return;
    const bool complete = run.begin <= node.begin && node.end <= run.end;
    if (complete && !inside_result) schedule.results.push_back(node);
    if (node.count() == 1) return;
    if (complete) ++schedule.merges_after[node.end - 1 - run.begin];
    const std::uint32_t middle = node.begin + node.count() / 2;
    visit({node.begin, middle}, complete);
    visit({middle, node.end}, complete);
  };
  if (!run.empty()) visit({0, slices}, false);
  schedule.depth_max = height_of(schedule.merges_after);
  return schedule;
}

TreeSchedule schedule_finish(std::uint32_t slices, std::span<const SliceRange> leaves) {
  TreeSchedule schedule;
  schedule.merges_after.assign(leaves.size(), 0);
  std::size_t next = 0;
  const std::function<void(SliceRange)> visit = [&](SliceRange node) {
    TESSERA_ENSURE(next < leaves.size());
    if (leaves[next] == node) {
      ++next;
      return;
    }
    TESSERA_ENSURE(node.count() > 1);
    const std::uint32_t middle = node.begin + node.count() / 2;
    visit({node.begin, middle});
    visit({middle, node.end});
    ++schedule.merges_after[next - 1];
  };
  if (slices > 0) {
    visit({0, slices});
    schedule.results.push_back({0, slices});
  }
  TESSERA_ENSURE(next == leaves.size());
  schedule.depth_max = height_of(schedule.merges_after);
  return schedule;
}

}  // namespace tessera
