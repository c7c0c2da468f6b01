// Worker: the actor that speaks for one node. It keeps the connection to the coordinator (dials, registers, beats,
// dials again), hands the coordinator's commands to the Shards, and frontends' streams to the Conductors.
//
//   dialling ──► registering ──► registered: heartbeats
//      ▲                             │ connection lost, not known any more
//      └───────── back-off ◄─────────┘        streams and steps go on meanwhile
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

#include "actors/monitor.hpp"
#include "cluster/control/node_info.hpp"
#include "cluster/exchange/options.hpp"
#include "cluster/executor/replica_executor.hpp"
#include "cluster/rpc/conductor_service.hpp"
#include "cluster/rpc/coordinator_client.hpp"
#include "runtime/base/blocking_worker.hpp"

namespace tessera {

/// What the worker is made of. Everything pointed to outlives its actor.
struct WorkerParts {
  DialOptions coordinator;  ///< where, and as whom
  RpcThread* rpc = nullptr;
  BlockingWorker* blocking = nullptr;
  const Clock* clock = nullptr;
  ExecutorParts executor;  ///< of every replica; node, replica and events are filled in
  std::chrono::milliseconds heartbeat{100};
  std::chrono::milliseconds request_deadline{10000};
  CountRefusals refusals = {};
  /// Registered for the first time; any thread.
  std::function<void()> on_ready;
  /// The node must end; any thread.
  std::function<void(std::optional<Error>)> end_node;
};

/// The commands that the coordinator gives a node, as messages to its Worker. Lives until RpcThread::stop() returned.
std::unique_ptr<NodeHandler> make_node_bridge(caf::actor worker, caf::actor log_reader);
/// Streams, as messages to the Worker.
std::unique_ptr<ConductorHandler> make_conductor_bridge(caf::actor worker);

/// Listeners need a Worker, and the Worker needs their ports and the bridge to itself: so the second call tells it, and
/// it starts to dial.
caf::actor spawn_worker(caf::actor_system& system, const WorkerParts& parts);
void start_worker(const caf::actor& worker, const NodeInfo& info, NodeHandler& commands);

}  // namespace tessera
