#include "cluster/control/coordinator_state.hpp"

namespace tessera {

namespace {

constexpr std::chrono::nanoseconds metrics_age_max = std::chrono::seconds(3);

Error no_deployment(const std::string& name) {
  return {ErrorCode::not_found, "there is no deployment '" + name + "'; see the list of deployments"};
}

}  // namespace

Result<ConductorLocation> CoordinatorState::locate(const std::string& deployment) const {
  const auto entry = deployments_.find(deployment);
  if (entry == deployments_.end()) return no_deployment(deployment);
  const Replica& replica = replicas_.at(entry->second.replica);
  if (replica.failed) {
    return Error{ErrorCode::corrupt, "'" + deployment + "' has failed: " + replica.message};
  }
  if (!replica.healthy()) {
    return Error{ErrorCode::unavailable,
                 "'" + deployment + "' is not served at the moment (" + replica.message + "); ask again in a moment"};
  }
  const EpochPlan& plan = *replica.record.serving;
  const NodeRecord& root = nodes_.at(plan.root_node()).record;
  ConductorLocation location;
  location.deployment = deployment;
  location.replica = plan.replica;
  location.epoch = plan.epoch;
  location.incarnation = replica.record.serving_incarnation;
  location.node = root.node;
  location.node_name = root.info.name;
  location.rpc = root.info.rpc;
  return location;
}

Result<DeploymentStatus> CoordinatorState::deployment(const std::string& name) const {
  const auto entry = deployments_.find(name);
  if (entry == deployments_.end()) return no_deployment(name);
  const DeploymentRecord& record = entry->second;
  return DeploymentStatus{record.spec, record.facts, status_of(replicas_.at(record.replica))};
}

ClusterStatus CoordinatorState::status(TimePoint now) const {
  ClusterStatus status;
  status.term = term_;
  status.profile = options_.profile;
  status.recovering = recovering_;
  for (const auto& [id, node] : nodes_) status.nodes.push_back(status_of(now, node));
  for (const auto& [name, record] : deployments_) {
    status.deployments.push_back({record.spec, record.facts, status_of(replicas_.at(record.replica))});
  }
  return status;
}

NodeStatus CoordinatorState::status_of(TimePoint now, const Node& node) const {
  NodeStatus status;
  status.node = node.record.node;
  status.info = node.record.info;
  if (!node.connection) {
    status.state = NodeState::lost;
  } else if (node.record.draining) {
    status.state = used(node.record.node) ? NodeState::draining : NodeState::drained;
  }
  status.since_beat = std::chrono::duration_cast<std::chrono::milliseconds>(detector_.silence(now, node.record.node));
  status.load = node.load;
  status.planned_bytes = planned_bytes(node.record.node, ReplicaId{});
  return status;
}

ReplicaStatus CoordinatorState::status_of(const Replica& replica) const {
  const ReplicaRecord& record = replica.record;
  ReplicaStatus status;
  status.replica = record.replica;
  status.serves = replica.healthy();
  if (record.pending) {
    status.state = record.switching ? ReplicaState::switching : ReplicaState::preparing;
  } else if (replica.healthy()) {
    status.state = ReplicaState::serving;
  } else if (replica.failed) {
    status.state = ReplicaState::failed;
  }
  status.incarnation = record.serving_incarnation;
  status.serving = record.serving;
  status.pending = record.pending;
  status.message = replica.message;
  if (!replica.metrics || !record.serving || replica.metrics->epoch != record.serving->epoch) return status;
  status.metrics = replica.metrics;
  if (now_ - replica.measured_at > metrics_age_max) {
    // It reports as long as it steps: what the steps took is still worth knowing.
    status.metrics->steps = status.metrics->rows = status.metrics->tokens = 0;
  }
  return status;
}

}  // namespace tessera
