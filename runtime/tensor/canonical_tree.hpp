// The canonical binary tree: the one order in which slice partials are added, whatever shard computed them.
//
//   sum[a,b) = sum[a,m) + sum[m,b),  m = (a+b)/2
//
//            [0,5)
//           /     \                 shard 0 holds slices 0..2: it adds [0,2) and sends [0,2) and [2,3);
//        [0,2)    [2,5)             shard 1 holds slices 3..4: it adds [3,5) and sends that;
//        /  \     /   \             every receiver does [2,5) = [2,3) + [3,5), then [0,5) = [0,2) + [2,5).
//       0    1   2   [3,5)
//                     / \.
//                    3   4
//
// A TreeSchedule is the tree as a stack program: push the next leaf, then add the two topmost entries merges_after[i]
// times.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/tensor/slices.hpp"

namespace tessera {

struct TreeSchedule {
  std::vector<std::uint8_t> merges_after;  ///< one per leaf, in order
  std::vector<SliceRange> results;         ///< what lies on the stack at the end, bottom first
  std::uint32_t depth_max = 0;             ///< largest height of the stack, right after a push
};

/// Sums the slices of `run` inside the tree over [0, slices): results are the complete subtrees inside the run.
TreeSchedule schedule_run(std::uint32_t slices, SliceRange run);

/// Sums nodes that together tile [0, slices), in order, to the root. Each leaf must be a node of the tree.
TreeSchedule schedule_finish(std::uint32_t slices, std::span<const SliceRange> leaves);

}  // namespace tessera
