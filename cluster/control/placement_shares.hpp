// How the slices of one run of layers are dealt to given workers: shares by speed, shifted to where memory is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cluster/control/placement.hpp"

namespace tessera {

/// What stays the same while a placement is searched; refers to its maker's arguments.
struct PlacementTask {
  const ModelFacts& facts;
  const PlacementRequest& request;
  const MemoryModel& memory;
};

/// Shares in proportion to `speeds`, none above its cap, together 1; nothing when the caps do not reach 1.
std::optional<std::vector<double>> capped_shares(std::span<const double> speeds, std::span<const double> caps);

/// What came of dealing a stage to a group of workers.
struct StageDeal {
  bool fits = false;
  std::vector<ShardSlices> shards;   ///< when it fits
  std::vector<std::size_t> useless;  ///< workers of the group that could not hold a single slice, ascending
};
StageDeal deal_stage(const PlacementTask& task, SliceRange layers, std::span<const PlacementWorker> group);

/// Memory of the only shard of a run of layers.
ShardMemory whole_shard_memory(const PlacementTask& task, SliceRange layers, std::uint32_t threads);

}  // namespace tessera
