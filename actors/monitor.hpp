// Monitor: the agent that watches one node: processor, memory, and what its executors do. Its samples travel with the
// heartbeats; what its conductors measured follows once a second. The coordinator keeps the newest (tessera status).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include "actors/node_replica.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

/// To the Monitor: sample this replica from now on; without a replica: the one with `id` is gone.
struct WatchReplica {
  ReplicaId id;
  std::shared_ptr<NodeReplica> replica;
};

/// What a node's listeners have turned away since the process started, as NodeLoad has it.
struct Refusals {
  std::uint64_t connections = 0, calls = 0;
};
/// Any thread; nullptr: nobody counts.
using CountRefusals = std::function<Refusals()>;

/// Sends LoadSampled to `worker` every `interval`, and MetricsTaken when conductors have stepped.
caf::actor spawn_monitor(caf::actor_system& system, caf::actor worker, const Clock& clock, std::uint32_t cores,
                         std::chrono::milliseconds interval, CountRefusals refusals);

}  // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::WatchReplica)
