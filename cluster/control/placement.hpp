// Placement: which workers hold which slices of a model, by measured speed and within their memory.
//
//   wanted 3 of   w1 ████████ fast     w2 ████ slow     w3 ████████ fast, little memory left
//   shares        w1 50 %              w2 25 %          w3 25 % (its memory), and so the others get more
//
// Tried in this order until memory suffices: shares by speed · shares shifted to where memory is · more workers ·
// fewer, those with the most memory · more pipeline stages. Pure: the same input gives the same plan.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cluster/control/deployment.hpp"
#include "cluster/control/step_time_model.hpp"
#include "runtime/tensor/shard_assignment.hpp"
#include "runtime/tensor/shard_memory.hpp"

namespace tessera {

/// The arithmetic of a shard's memory; passed in, so that tests can use small numbers.
using MemoryModel = std::function<ShardMemory(const ModelFacts&, const ShardAssignment&, const ShardMemoryOptions&)>;

/// The runtime's own arithmetic (runtime/tensor/shard_memory.hpp).
MemoryModel runtime_memory_model();

struct PlacementWorker {
  NodeId node;
  std::string name;
  double speed = 1;                ///< relative to the others; positive
  std::uint64_t memory_left = 0;   ///< after everything else that is planned on it
  std::uint64_t memory_bytes = 0;  ///< its whole budget, for messages
  std::uint32_t threads = 1;       ///< that compute for a shard there
};

struct PlacementRequest {
  std::string deployment;
  /// Wanted; 0: all, up to the slice count, or, where the network is known, up to where one more does not make a step
  /// faster (step_time_model.hpp). More are used only where memory demands it.
  std::uint32_t workers = 0;
  std::uint32_t stages = 0;  ///< exactly so many; 0: as few as memory allows
  std::uint32_t kv_pages = 0;
  std::optional<NetworkFacts> network = {};
  double read_bytes_per_second = 0;  ///< of a worker whose speed is 1; used with `network`
};

struct Placement {
  std::vector<StagePlan> stages;
  std::vector<NodeId> nodes;  ///< of the ranks
  /// Relative time of a token: the slowest share of each stage, summed over stages. For comparing placements.
  double cost = 0;
};

/// `workers` in the order in which ranks are to be given out (as few slices as possible move when survivors keep their
/// order); the first ones are taken when there are more than wanted. `exhausted` with the arithmetic when memory does
/// not suffice; `unavailable` when there are too few workers; `invalid_argument` when the model cannot be cut so.
Result<Placement> place(const ModelFacts& facts, const PlacementRequest& request,
                        std::span<const PlacementWorker> workers, const MemoryModel& memory);

/// Whether a model can be cut as asked for at all, whatever the workers.
Result<void> check_request(const ModelFacts& facts, const PlacementRequest& request);

/// What the step time model is told of it; `weight_bytes` by this memory model.
StepModel step_model_of(const ModelFacts& facts, const PlacementRequest& request, const MemoryModel& memory);

/// Cost (as in Placement) of stages on workers with these speeds, in rank order.
double placement_cost(const ModelFacts& facts, std::span<const StagePlan> stages, std::span<const double> speeds);

}  // namespace tessera
