// NodeReplica: one replica on this node: its executor and the two actors that speak for it.
//
//   coordinator's commands ──► Worker ──► Shard ─────► executor ──► events ──► Shard ──► Worker ──► coordinator
//   frontends' streams     ──► Worker ──► Conductor ─► executor ──► updates ─► Conductor ──► sinks
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

#include "cluster/executor/replica_executor.hpp"
#include "runtime/base/blocking_worker.hpp"

namespace tessera {

/// Shared by the Worker, the two actors and the Monitor of one node. The executor is ended on the blocking worker, as
/// that waits for its threads.
class NodeReplica {
 public:
  /// `worker` is told what the coordinator must know. The actors live until close().
  static Result<std::shared_ptr<NodeReplica>> start(caf::actor_system& system, ExecutorParts parts,
                                                    std::string deployment, BlockingWorker& blocking,
                                                    caf::actor worker);
  ~NodeReplica();
  NodeReplica(const NodeReplica&) = delete;
  NodeReplica& operator=(const NodeReplica&) = delete;

  ReplicaId id() const { return id_; }
  const std::string& deployment() const { return deployment_; }
  ReplicaExecutor& executor() const { return *executor_; }
  const caf::actor& shard() const { return shard_; }
  const caf::actor& conductor() const { return conductor_; }
  /// What its conductor measured since the last call; nothing where it does not step. Any thread.
  std::optional<ReplicaMetrics> take_metrics();
  /// Ends the actors, whose states hold this object. Called once, by the Worker.
  void close();

 private:
  class Events;
  NodeReplica(ReplicaId id, const Clock& clock, std::string deployment, BlockingWorker& blocking);

  ReplicaId id_;
  std::string deployment_;
  BlockingWorker& blocking_;
  std::unique_ptr<Events> events_;
  std::unique_ptr<ReplicaExecutor> executor_;
  caf::actor shard_, conductor_;
};

/// The Shard actor (shard.cpp) and the Conductor actor (conductor.cpp).
caf::actor spawn_shard(caf::actor_system& system, std::shared_ptr<NodeReplica> replica);
caf::actor spawn_conductor(caf::actor_system& system, std::shared_ptr<NodeReplica> replica);

}  // namespace tessera
