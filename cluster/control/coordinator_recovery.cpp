#include <algorithm>
#include <utility>

#include "cluster/control/coordinator_state.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

CoordinatorOutputs CoordinatorState::recover(TimePoint now, StoredState state) {
  TESSERA_ENSURE(nodes_.empty() && deployments_.empty());
  now_ = now;
  counters_ = state.counters;
  for (NodeRecord& record : state.nodes) {
    node_names_[record.info.name] = record.node;
    counters_.next_node = std::max(counters_.next_node, NodeId{record.node.value + 1});
    if (record.draining) draining_.insert(record.node);
    nodes_[record.node].record = std::move(record);
  }
  for (DeploymentRecord& record : state.deployments) {
    for (const ReplicaId id : record.replicas)
      counters_.next_replica = std::max(counters_.next_replica, ReplicaId{id.value + 1});
    const std::string name = record.spec.name;
    deployments_[name] = std::move(record);
  }
  for (ReplicaRecord& record : state.replicas) {
    const auto deployment = deployments_.find(record.deployment);
    if (deployment == deployments_.end() || std::ranges::count(deployment->second.replicas, record.replica) == 0) {
      // Written before its deployment, or erased after it: the predecessor ended in between.
      emit(Erase{replica_key(record.replica)});
      continue;
    }
    for (auto* plan : {&record.serving, &record.pending}) {
      if (*plan && !knows_all(**plan)) plan->reset();
    }
    Replica& replica = replicas_[record.replica];
    replica.recovering = record.serving || record.pending;
    replica.message = "the coordinator was started again";
    replica.due = true;
    replica.record = std::move(record);
  }
  for (auto& [name, deployment] : deployments_) {
    for (const ReplicaId id : deployment.replicas) {
      Replica& replica = replicas_[id];
      if (replica.record.replica == id) continue;
      replica.record.replica = id;
      replica.record.deployment = name;
      replica.due = true;
    }
  }
  for (const JobRecord& job : state.jobs) {
    counters_.next_job = std::max(counters_.next_job, JobId{job.job.value + 1});
  }
  jobs_.recover(now, std::move(state.jobs));
  recovering_ = !nodes_.empty();
  grace_end_ = now + options_.recovery_grace;
  log(EventLevel::info, "term " + std::to_string(term_.value) + ": " + std::to_string(nodes_.size()) + " nodes, " +
                            std::to_string(deployments_.size()) + " deployments and " +
                            std::to_string(jobs_.all().size()) + " jobs are known");
  return finish_step();
}

bool CoordinatorState::knows_all(const EpochPlan& plan) const {
  return std::all_of(plan.participants.begin(), plan.participants.end(),
                     [this](const Participant& participant) { return nodes_.contains(participant.node); });
}

bool CoordinatorState::held_by_all(const Replica& replica, const EpochPlan& plan,
                                   ConductorIncarnation incarnation) const {
  const NodeId root = plan.root_node();
  const std::vector<NodeId> members = rank_nodes(plan);
  return std::all_of(members.begin(), members.end(), [&](NodeId node) {
    const auto reported = replica.held.find(node);
    if (!connected(node) || reported == replica.held.end()) return false;
    return std::any_of(reported->second.begin(), reported->second.end(), [&](const HeldEpoch& held) {
      if (held.epoch != plan.epoch || !held.active) return false;
      return node != root || (held.conducts && held.incarnation == incarnation);
    });
  });
}

void CoordinatorState::resolve(Replica& replica, bool late) {
  ReplicaRecord& record = replica.record;
  std::set<NodeId> members;
  if (record.serving) {
    for (const NodeId node : rank_nodes(*record.serving)) members.insert(node);
  }
  if (record.pending) {
    for (const Participant& participant : record.pending->participants) members.insert(participant.node);
  }
  const bool all_back =
      std::all_of(members.begin(), members.end(), [&](NodeId node) { return replica.held.contains(node); });
  if (!late && !all_back) return;
  if (record.pending && record.switching && held_by_all(replica, *record.pending, record.incarnation)) {
    log(EventLevel::info, title(record, record.pending->epoch) + " was activated meanwhile");
    activated(replica);
    return;
  }
  // Once one member has begun the pending epoch, the serving one is over there.
  const bool begun = record.pending && std::any_of(replica.held.begin(), replica.held.end(), [&](const auto& reported) {
                       return std::any_of(reported.second.begin(), reported.second.end(), [&](const HeldEpoch& held) {
                         return held.epoch == record.pending->epoch && held.active;
                       });
                     });
  const bool adopted =
      record.serving && !record.broken && !begun && held_by_all(replica, *record.serving, record.serving_incarnation);
  replica.recovering = false;
  replica.held.clear();
  replica.due = true;
  replica.not_before = now_;
  if (record.pending) {
    // Nobody waits for its answers any more; the members that hold it let it go.
    const bool was_broken = record.broken;
    drop_pending(replica);
    if (adopted) record.broken = was_broken;
    retire_past(replica);
  }
  if (adopted) {
    replica.activated_at = now_;
    log(EventLevel::info, title(record, record.serving->epoch) + " still serves");
  } else if (record.serving) {
    record.broken = true;
    replica.message = "not every member came back after the coordinator's restart";
  }
  persist(replica);
}

void CoordinatorState::end_recovery() {
  recovering_ = false;
  for (auto& [id, replica] : replicas_) {
    if (replica.recovering) resolve(replica, true);
  }
  recover_jobs_late();
  all_due();
}

void CoordinatorState::recover_jobs_late() {
  JobEffects effects;
  for (const auto& [id, node] : nodes_) {
    if (!node.connection) jobs_.worker_lost(id, effects);
  }
  carry_out(effects);
}

}  // namespace tessera
