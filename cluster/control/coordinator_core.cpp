#include "cluster/control/coordinator_core.hpp"

#include <algorithm>
#include <utility>

#include "cluster/control/coordinator_state.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

CoordinatorCore::CoordinatorCore(CoordinatorOptions options, Term term)
    : state_(std::make_unique<CoordinatorState>(std::move(options), term)) {}
CoordinatorCore::~CoordinatorCore() = default;
CoordinatorCore::CoordinatorCore(CoordinatorCore&&) noexcept = default;
CoordinatorCore& CoordinatorCore::operator=(CoordinatorCore&&) noexcept = default;

CoordinatorOutputs CoordinatorCore::recover(TimePoint now, StoredState state) {
  return state_->recover(now, std::move(state));
}
CoordinatorOutputs CoordinatorCore::step(TimePoint now, const CoordinatorInput& input) {
  return state_->step(now, input);
}
Result<std::vector<ConductorLocation>> CoordinatorCore::locate(const std::string& deployment) const {
  return state_->locate(deployment);
}
ClusterStatus CoordinatorCore::status(TimePoint now) const { return state_->status(now); }
Result<DeploymentStatus> CoordinatorCore::deployment(const std::string& name) const { return state_->deployment(name); }
Result<JobRecord> CoordinatorCore::job(JobId job) const {
  if (const JobRecord* record = state_->jobs().find(job)) return *record;
  return Error{ErrorCode::not_found,
               "there is no job " + std::to_string(job.value) + ": it never was, or it ended long ago"};
}
std::vector<JobRecord> CoordinatorCore::jobs() const {
  std::vector<JobRecord> jobs;
  for (const auto& [id, job] : state_->jobs().all()) jobs.push_back(job);
  return jobs;
}
std::optional<NodeId> CoordinatorCore::node_of(ConnectionId connection) const { return state_->node_of(connection); }
Term CoordinatorCore::term() const { return state_->term(); }

CoordinatorState::CoordinatorState(CoordinatorOptions options, Term term)
    : options_(std::move(options)),
      term_(term),
      detector_(options_.failure_detector),
      jobs_(options_.job_client_timeout) {
  TESSERA_ENSURE(term.value > 0);
}

CoordinatorOutputs CoordinatorState::step(TimePoint now, const CoordinatorInput& input) {
  TESSERA_ENSURE(now >= now_);
  now_ = now;
  // The input first: a beat that is late, but here, counts.
  std::visit([this](const auto& one) { on(one); }, input);
  for (const NodeId node : detector_.look(now)) {
    const auto silence = std::chrono::duration_cast<std::chrono::milliseconds>(detector_.silence(now, node));
    Node& lost = nodes_.at(node);
    const ConnectionId connection = *lost.connection;
    const std::string why = "no heartbeat for " + std::to_string(silence.count()) + " ms";
    lose(lost, why);
    emit(DropNode{connection, why, true});
  }
  return finish_step();
}

CoordinatorOutputs CoordinatorState::finish_step() {
  timers();
  for (auto& [id, replica] : replicas_) plan_where_due(replica);
  if (std::exchange(jobs_due_, false)) advance_jobs();
  settle_drains();
  return std::exchange(outputs_, {});
}

void CoordinatorState::timers() {
  if (recovering_ && now_ >= grace_end_) end_recovery();
  for (auto& [id, replica] : replicas_) {
    if (replica.record.pending && !replica.recovering && now_ >= replica.deadline) expire_pending(replica);
    for (auto& [node, exclusion] : replica.excluded) {
      if (exclusion.over || now_ < exclusion.until) continue;
      exclusion.over = true;
      replica.due = true;
    }
  }
}

void CoordinatorState::on(const EpochPrepared& input) {
  Node* const node = find_node(input.from);
  Replica* const replica = find_replica(input.replica);
  if (node == nullptr || replica == nullptr || replica->recovering) return;
  const ReplicaRecord& record = replica->record;
  if (!record.pending || record.pending->epoch != input.epoch || record.switching) return;
  if (!record.pending->find(node->record.node)) return;
  if (!input.result) {
    // A refusal of a number is not the node's fault: a higher one follows.
    std::vector<NodeId> culprits;
    if (input.result.error().code != ErrorCode::conflict) culprits.push_back(node->record.node);
    pending_failed(*replica, culprits, node->record.info.name + " could not prepare: " + input.result.error().message);
    return;
  }
  replica->prepared.insert(node->record.node);
  if (replica->prepared.size() < record.pending->participants.size()) return;
  if (replica->breaking) return pending_failed(*replica, {}, std::string(*replica->breaking));
  switch_over(*replica);
}

void CoordinatorState::on(const EpochActivated& input) {
  Node* const node = find_node(input.from);
  Replica* const replica = find_replica(input.replica);
  if (node == nullptr || replica == nullptr) return;
  const ReplicaRecord& record = replica->record;
  if (!record.pending || record.pending->epoch != input.epoch || !record.switching ||
      record.pending->root_node() != node->record.node || record.incarnation != input.incarnation) {
    return;
  }
  activated(*replica);
}

void CoordinatorState::on(const ReplicaMeasured& input) {
  const Node* const node = find_node(input.from);
  Replica* const replica = find_replica(input.metrics.replica);
  if (node == nullptr || replica == nullptr || !replica->healthy()) return;
  const EpochPlan& plan = *replica->record.serving;
  if (plan.epoch != input.metrics.epoch || plan.root_node() != node->record.node) return;
  replica->metrics = input.metrics;
  replica->measured_at = now_;
}

void CoordinatorState::on(const EpochBroken& input) {
  Node* const node = find_node(input.from);
  Replica* const replica = find_replica(input.replica);
  if (node == nullptr || replica == nullptr) return;
  const ReplicaRecord& record = replica->record;
  const std::string why = node->record.info.name + " reports: " + input.reason;
  if (record.pending && record.pending->epoch == input.epoch && record.pending->find(node->record.node)) {
    if (!record.switching && replica->prepared.size() < record.pending->participants.size()) {
      // Who cannot prepare closes its connections, and says so itself in a moment: that one is to be left out.
      if (!replica->breaking) replica->deadline = std::min(replica->deadline, now_ + options_.broken_delay);
      replica->breaking = why;
      return;
    }
    pending_failed(*replica, {}, why);
  } else if (record.serving && record.serving->epoch == input.epoch && !record.broken &&
             record.serving->find(node->record.node)) {
    // The new epoch begins without a hand-over, which ends this one: no failure.
    if (record.switching && record.pending->previous.value == 0) return serving_broke(*replica);
    note_failure(*replica);
    const bool served = now_ - replica->activated_at >= options_.served_after;
    const auto delay = replica->failures > 1 && !served ? retry_delay(*replica) : options_.broken_delay;
    replica->not_before = now_ + delay;
    log(EventLevel::warning, title(record, input.epoch) + " broke: " + why);
    serving_broke(*replica);
    replica->message = why;
  }
}

}  // namespace tessera
