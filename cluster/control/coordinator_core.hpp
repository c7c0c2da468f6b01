// CoordinatorCore: every decision of the coordinator, as a pure state machine. The actor around it carries the outputs
// out; simulation links the same code.
//
//   membership   register ─► ready ─► draining ─► drained      silence or a closed connection ─► lost
//   replica      waiting ─► preparing ─► switching (activate | hand over) ─► serving ─┐
//                   ▲           │ a participant fails, or something newer: a higher   │ join, drain, loss, broken
//                   └───────────┴──────────────────────── epoch, after a back-off ◄───┘
//
// Rules that everything else leans on:
//   - A replica has at most one pending epoch beside the one that serves; epochs only rise, over all terms.
//   - KV is handed over only from a serving epoch whose participants all live; otherwise the new epoch is activated and
//     the conductor replays. A failed hand-over leaves the old epoch broken (its conductor may have stopped).
//   - A conductor's incarnation rises whenever its node or that node's process changes.
//   - Old epochs are retired when their successor is active; so is the new epoch at its donors, which have given their
//     pages by then. A node's held epochs that are not in force are retired when it registers: so a retire that was not
//     delivered is repeated, and a node that was wrongly given up starts afresh.
//   - Two replicas that share nodes lease the lowest-numbered shared one. A plan has the leases that hold against all
//     serving and pending plans when it is made, and its own lowest node's where its conductor is there, which costs
//     nothing; when a later plan of another replica adds one, this replica is planned again, on the same shards, once
//     both serve. A lease that is needed no more stays until the next epoch.
//   - A node that reports its copy of the checkpoint damaged gets no shard of that replica any more, until its process
//     ends. From then on every epoch of the replica is prepared with all bytes checked, so a second damaged copy (the
//     same file, seen by all) never serves. When no worker is left, the replica has failed: its epochs are retired and
//     its clients hear why. A damaged copy costs one plan for each node that has it, and no more.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cluster/control/coordinator_messages.hpp"
#include "cluster/control/failure_detector.hpp"
#include "cluster/control/placement.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

struct CoordinatorOptions {
  std::string profile = "cpu-1";
  FailureDetectorOptions failure_detector;
  std::chrono::nanoseconds prepare_timeout = std::chrono::seconds(30);
  std::chrono::nanoseconds switch_timeout = std::chrono::seconds(15);  ///< of activate and hand_over
  /// Between the first report of a broken epoch and the next plan: the loss that caused it is usually about to show.
  std::chrono::nanoseconds broken_delay = std::chrono::milliseconds(50);
  std::chrono::nanoseconds retry_delay_min = std::chrono::milliseconds(100);  ///< doubles with every failure in a row
  std::chrono::nanoseconds retry_delay_max = std::chrono::seconds(10);
  /// An epoch that served so long is followed by the next without a back-off, however many failed before it.
  std::chrono::nanoseconds served_after = std::chrono::seconds(1);
  /// An epoch that lived so long ends a row of failures.
  std::chrono::nanoseconds stable_after = std::chrono::seconds(10);
  std::chrono::nanoseconds recovery_grace = std::chrono::seconds(3);
  std::chrono::nanoseconds job_client_timeout = std::chrono::seconds(30);
  /// A re-plan on the same number of workers must promise to be this much faster.
  double improvement_min = 1.25;
  MemoryModel memory = runtime_memory_model();
  /// Between workers, where the operator has said what it is: then deployments that name no number of workers get as
  /// many as pay, instead of all.
  std::optional<NetworkFacts> network = {};

  std::chrono::nanoseconds prepare_timeout_of(const EpochPlan& plan) const {
    return plan.check_first ? prepare_timeout * check_first_patience : prepare_timeout;
  }
};

inline constexpr std::size_t nodes_known_max = 1024;
inline constexpr std::size_t deployments_max = 256;
inline constexpr std::size_t drain_requests_max = 1024;

class CoordinatorState;

/// Owned by the coordinator's actor (or the simulation) and confined to it.
class CoordinatorCore {
 public:
  /// `term` has been won in the store.
  CoordinatorCore(CoordinatorOptions options, Term term);
  ~CoordinatorCore();
  CoordinatorCore(CoordinatorCore&&) noexcept;
  CoordinatorCore& operator=(CoordinatorCore&&) noexcept;

  /// Takes over what a predecessor stored; at most once, before the first step. Nodes of stored plans have
  /// `recovery_grace` to register again; nothing is planned until they have, or it is over.
  CoordinatorOutputs recover(TimePoint now, StoredState state);

  /// `now` must not go back.
  CoordinatorOutputs step(TimePoint now, const CoordinatorInput& input);

  // Views of the state after the last step.
  /// `not_found` for an unknown name, `unavailable` (ask again) while nothing serves it.
  Result<std::vector<ConductorLocation>> locate(const std::string& deployment) const;
  ClusterStatus status(TimePoint now) const;
  Result<DeploymentStatus> deployment(const std::string& name) const;
  Result<JobRecord> job(JobId job) const;
  std::vector<JobRecord> jobs() const;  ///< oldest first
  /// The node behind a connection, while it is registered.
  std::optional<NodeId> node_of(ConnectionId connection) const;
  Term term() const;

 private:
  std::unique_ptr<CoordinatorState> state_;
};

}  // namespace tessera
