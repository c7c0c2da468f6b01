// Coordinator: the actor around CoordinatorCore. It decides nothing: inputs become core steps, outputs become commits,
// commands to nodes and answers, in the core's order.
//
//   messages ──► core.step() ──► outputs ──► outbox:  commit … wait until durable … command … answer … commit …
//
// The outbox stops at every commit until the store has carried it out, so nobody ever acts on what a restart would not
// know. Commits run on the blocking worker. When the store says that a newer term was claimed, this coordinator is
// deposed: it carries out nothing more and ends its node.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

#include "cluster/auth/certificates.hpp"
#include "cluster/control/coordinator_core.hpp"
#include "cluster/rpc/coordinator_service.hpp"
#include "cluster/rpc/join_service.hpp"
#include "cluster/rpc/rpc_thread.hpp"
#include "cluster/store/store.hpp"
#include "runtime/base/blocking_worker.hpp"

namespace tessera {

/// What the coordinator is made of. Everything pointed to outlives its actor.
struct CoordinatorParts {
  CoordinatorOptions options;
  Store* store = nullptr;  ///< its term is claimed
  BlockingWorker* blocking = nullptr;
  const Clock* clock = nullptr;
  const CertificateAuthority* authority = nullptr;
  std::string cluster;
  Identity identity;  ///< that the coordinator's certificate carries
  Endpoint rpc;       ///< where it listens, for joiners
  std::chrono::milliseconds request_deadline{10000};
  /// Opens the checkpoint and reads what placement must know; called on the blocking worker.
  std::function<Result<ModelFacts>(const DeploySpec&)> read_facts;
  /// The node must end: deposed, or told to stop. Any thread.
  std::function<void(std::optional<Error>)> end_node;
};

/// Reads what was stored and starts the actor. Blocks for the store.
Result<caf::actor> spawn_coordinator(caf::actor_system& system, const CoordinatorParts& parts);

/// The coordinator's RPC handlers: turn calls into messages. Lives until RpcThread::stop() returned.
std::unique_ptr<CoordinatorHandler> make_coordinator_bridge(caf::actor coordinator);
std::unique_ptr<JoinHandler> make_join_bridge(caf::actor coordinator);

}  // namespace tessera
