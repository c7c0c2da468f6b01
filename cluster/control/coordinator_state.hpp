// The inside of CoordinatorCore: its state, and the steps on it by topic, one source file each. Included by those files
// only.
//
//   coordinator_core.cpp         the step: input, timers, decisions, answers
//   coordinator_nodes.cpp        registration, loss, drain
//   coordinator_deployments.cpp  deploy, undeploy
//   coordinator_replicas.cpp     the life of a replica's epochs, from prepare to retire
//   coordinator_planning.cpp     whether a replica needs another plan, and which
//   coordinator_siblings.cpp     how the replicas of a deployment divide the workers
//   coordinator_damage.cpp       checkpoints whose bytes are wrong
//   coordinator_recovery.cpp     taking over what a predecessor stored
//   coordinator_jobs.cpp         what jobs.hpp decides, as outputs
//   coordinator_views.cpp        status, locate
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/control/coordinator_core.hpp"
#include "cluster/control/jobs.hpp"

namespace tessera {

class CoordinatorState {
 public:
  CoordinatorState(CoordinatorOptions options, Term term);

  CoordinatorOutputs recover(TimePoint now, StoredState state);
  CoordinatorOutputs step(TimePoint now, const CoordinatorInput& input);

  Result<std::vector<ConductorLocation>> locate(const std::string& deployment) const;
  ClusterStatus status(TimePoint now) const;
  Result<DeploymentStatus> deployment(const std::string& name) const;
  const JobTable& jobs() const { return jobs_; }
  std::optional<NodeId> node_of(ConnectionId connection) const;
  Term term() const { return term_; }

 private:
  struct Node {
    NodeRecord record;
    std::optional<ConnectionId> connection;  ///< while it is registered
    NodeLoad load;
    bool ready() const { return connection && record.info.computes && !record.draining; }
  };
  /// A node that could not prepare an epoch is left out for a while, twice as long each time.
  struct Exclusion {
    TimePoint until;
    std::uint32_t times = 0;
    bool over = false;
  };
  /// An epoch that is over, until its successor is active and its members are told.
  struct PastEpoch {
    Epoch epoch;
    std::vector<NodeId> nodes;
  };
  struct Replica {
    ReplicaRecord record;
    std::set<NodeId> prepared;  ///< participants of `pending` that have answered
    /// Of `pending`, while it is prepared: a member lost a peer. It waits for that one's own answer until the deadline.
    std::optional<std::string> breaking;
    TimePoint deadline;          ///< of `pending`
    bool due = false;            ///< whether it needs another plan is to be looked at,
    TimePoint not_before;        ///< from then on
    std::uint32_t failures = 0;  ///< in a row
    TimePoint activated_at, failed_at;
    std::map<NodeId, Exclusion> excluded;
    std::vector<PastEpoch> past;
    bool recovering = false;                        ///< stored by a predecessor, and not yet known to be held
    std::map<NodeId, std::vector<HeldEpoch>> held;  ///< what members reported meanwhile
    std::optional<ReplicaMetrics> metrics;          ///< newest report
    TimePoint measured_at;
    std::string message;
    bool waits = false;  ///< for workers; `message` has the arithmetic
    /// Nothing can serve it, because of damaged copies; until a worker comes that has none.
    bool failed = false;

    bool healthy() const { return record.serving && !record.broken && !recovering; }
    bool damaged_at(NodeId node) const;
  };
  struct WaitingDrain {
    RequestToken token;
    NodeId node;
  };
  enum class Candidates : std::uint8_t { preferred, ready, connected, known };

  // coordinator_core.cpp
  template <typename T>
  void emit(T output) {
    outputs_.emplace_back(std::in_place_type<T>, std::move(output));
  }
  void log(EventLevel level, std::string text) { emit(Event{level, std::move(text)}); }
  void persist(const Replica& replica) { emit(Persist{replica.record}); }
  CoordinatorOutputs finish_step();
  void timers();
  void on(const EpochPrepared& input);
  void on(const EpochActivated& input);
  void on(const EpochBroken& input);
  void on(const ReplicaMeasured& input);
  void on(const Tick&) { jobs_due_ = true; }

  // coordinator_nodes.cpp
  void on(const NodeRegistered& input);
  void on(const NodeBeat& input);
  void on(const NodeDisconnected& input);
  void on(const DrainRequested& input);
  Result<void> check_registration(const NodeInfo& info) const;
  Node& enter(const NodeRegistered& input);
  void settle_held(const Node& node, const std::vector<HeldEpoch>& held);
  /// Not registered any more: every plan that it takes part in is over.
  void lose(Node& node, const std::string& why);
  /// Answers those who wait for a drain, and ends the drains that a deployment would not survive.
  void settle_drains();
  void end_drain(Node& node, const Error& why);
  void mark_draining(Node& node, bool draining);
  /// Why a draining node cannot be left: a deployment that was looked at stays on it, and is named.
  std::optional<Error> drain_obstacle(NodeId node) const;
  Node* find_node(ConnectionId connection);
  const Node* find_node(const std::string& name) const;
  bool connected(NodeId node) const;
  const std::string& name_of(NodeId node) const { return nodes_.at(node).record.info.name; }
  /// Whether a plan in force or in preparation, or a broken one that it still holds, needs the node.
  bool used(NodeId node) const;

  // coordinator_deployments.cpp
  void on(const DeployRequested& input);
  void on(const UndeployRequested& input);
  Result<void> check_deploy(const DeployRequested& input) const;

  // coordinator_damage.cpp
  void on(const CopyDamaged& input);
  /// A new process of the node: it may have been given another copy.
  void trust_again(NodeId node);
  /// No placement without damaged copies: everything of the replica stops, and its clients hear why.
  void fail_for_damage(Replica& replica, const std::string& rest);

  // coordinator_replicas.cpp
  void start_epoch(Replica& replica, const Placement& placement, const std::string& why);
  void add_donors(const Replica& replica, EpochPlan& plan) const;
  void switch_over(Replica& replica);
  void activated(Replica& replica);
  /// The serving epoch computes no more.
  void serving_broke(Replica& replica);
  /// Gives the pending epoch up; nobody is to blame.
  void drop_pending(Replica& replica);
  /// Gives it up after a failure: tries again after a back-off, without the culprits for a while.
  void pending_failed(Replica& replica, const std::vector<NodeId>& culprits, const std::string& why);
  void note_failure(Replica& replica);
  std::chrono::nanoseconds retry_delay(const Replica& replica) const;
  void retire(ReplicaId replica, const PastEpoch& past);
  void retire_past(Replica& replica);
  /// Both plans become past, and wait for retire_past().
  void leave_all(Replica& replica);
  void expire_pending(Replica& replica);
  void member_lost(Replica& replica, NodeId node);
  Replica* find_replica(ReplicaId replica);

  // coordinator_planning.cpp
  void all_due();
  /// Those that an activation of this replica may concern: memory, leases and shares of workers.
  void neighbours_due(const Replica& activated);
  void plan_where_due(Replica& replica);
  /// The same shards in a new epoch, where a lease is missing.
  void renew_leases(Replica& replica);
  /// Why `plan` should be given up for `placement`; empty: it should not.
  std::string reason_to_change(const Replica& replica, const EpochPlan& plan, const Placement& placement) const;
  Result<Placement> choose(const Replica& replica) const;
  Result<Placement> choose_among(const ReplicaRecord& record, const Replica* replica,
                                 const DeploymentRecord& deployment, Candidates candidates) const;
  std::vector<PlacementWorker> workers_for(const ReplicaRecord& record, const Replica* replica,
                                           Candidates candidates) const;
  bool eligible(const Node& node, const Replica* replica, Candidates candidates) const;
  std::uint64_t planned_bytes(NodeId node, ReplicaId but) const;
  /// The same of all nodes that have any.
  std::map<NodeId, std::uint64_t> planned_bytes_by_node(ReplicaId but) const;
  std::uint64_t plan_bytes(const EpochPlan& plan, NodeId node) const;
  /// Of all ranks; remembered, as every choice asks for those of all plans.
  const std::map<NodeId, std::uint64_t>& bytes_of(const EpochPlan& plan) const;
  /// Of every known node (comparable_speeds.hpp); 1 where it has none.
  std::map<NodeId, double> node_speeds() const;
  double cost_of(const EpochPlan& plan) const;
  /// Bytes per second of the worker whose comparable speed is 1.
  double median_speed() const;
  PlacementRequest request_of(const DeploymentRecord& deployment) const;
  /// "; a step should take 3.1 ms, 0.9 of it exchanges", where the network is known.
  std::string prediction(const EpochPlan& plan) const;
  std::vector<NodeId> lease_nodes(const Replica& replica, const EpochPlan& plan) const;
  bool lease_missing(const Replica& replica) const;

  // coordinator_siblings.cpp
  /// The workers that a replica should keep to, so that its siblings have theirs; nothing where it has no siblings.
  std::optional<std::set<NodeId>> share_of(const Replica& replica, Candidates candidates) const;
  /// Of these nodes and the replica's siblings, the pairs of a node and a sibling that has a shard there: the sum over
  /// all replicas falls with every change of one that makes its own smaller.
  std::size_t shared_with_siblings(const Replica& replica, const std::vector<NodeId>& nodes) const;

  // coordinator_recovery.cpp
  /// Adopts the stored epoch that all members hold, or gives them up; `late`: does not wait for members any longer.
  void resolve(Replica& replica, bool late);
  bool held_by_all(const Replica& replica, const EpochPlan& plan, ConductorIncarnation incarnation) const;
  /// A stored plan whose nodes are not stored is of no use.
  bool knows_all(const EpochPlan& plan) const;
  void recover_jobs_late();
  void end_recovery();

  // coordinator_jobs.cpp
  void on(const JobSubmitted& input);
  void on(const JobCancelRequested& input);
  void on(const JobClientSeen& input);
  void on(const JobClientLost& input);
  void on(const JobReported& input);
  void advance_jobs();
  void carry_out(const JobEffects& effects);

  // coordinator_views.cpp
  NodeStatus status_of(TimePoint now, const Node& node) const;
  ReplicaStatus status_of(const Replica& replica) const;
  DeploymentStatus status_of(const DeploymentRecord& deployment) const;

  CoordinatorOptions options_;
  Term term_;
  TimePoint now_{};
  CoordinatorOutputs outputs_;
  CountersRecord counters_;
  FailureDetector detector_;
  std::map<NodeId, Node> nodes_;
  std::map<std::string, NodeId> node_names_;
  std::map<ConnectionId, NodeId> connections_;
  std::map<std::string, DeploymentRecord> deployments_;
  std::map<ReplicaId, Replica> replicas_;
  std::vector<WaitingDrain> drains_;
  mutable std::map<std::pair<ReplicaId, Epoch>, std::map<NodeId, std::uint64_t>> bytes_of_plans_;
  std::set<NodeId> draining_;  ///< that have the mark in their record
  JobTable jobs_;
  bool jobs_due_ = false;
  bool recovering_ = false;
  TimePoint grace_end_{};
};

/// Ranks (not donors) of a plan.
std::vector<NodeId> rank_nodes(const EpochPlan& plan);
bool has_rank(const EpochPlan& plan, NodeId node);
/// "'chat' (replica 3, epoch 7)"
std::string title(const ReplicaRecord& record, Epoch epoch);

}  // namespace tessera
