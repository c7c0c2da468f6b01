#include "cluster/control/coordinator_state.hpp"

namespace tessera {

namespace {

constexpr std::chrono::nanoseconds metrics_age_max = std::chrono::seconds(3);

Error no_deployment(const std::string& name) {
  return {ErrorCode::not_found, "there is no deployment '" + name + "'; see the list of deployments"};
}

}  // namespace

Result<std::vector<ConductorLocation>> CoordinatorState::locate(const std::string& deployment) const {
  const auto entry = deployments_.find(deployment);
  if (entry == deployments_.end()) return no_deployment(deployment);
  std::vector<ConductorLocation> locations;
  const Replica* hope = nullptr;  // that may serve soon
  for (const ReplicaId id : entry->second.replicas) {
    const Replica& replica = replicas_.at(id);
    if (!replica.failed && hope == nullptr) hope = &replica;
    if (!replica.healthy()) continue;
    const EpochPlan& plan = *replica.record.serving;
    const NodeRecord& root = nodes_.at(plan.root_node()).record;
    locations.push_back({deployment, plan.replica, plan.epoch, replica.record.serving_incarnation, root.node,
                         root.info.name, root.info.rpc});
  }
  if (!locations.empty()) return locations;
  if (hope == nullptr) {
    return Error{ErrorCode::corrupt,
                 "'" + deployment + "' has failed: " + replicas_.at(entry->second.replicas.front()).message};
  }
  return Error{ErrorCode::unavailable,
               "'" + deployment + "' is not served at the moment (" + hope->message + "); ask again in a moment"};
}

Result<DeploymentStatus> CoordinatorState::deployment(const std::string& name) const {
  const auto entry = deployments_.find(name);
  if (entry == deployments_.end()) return no_deployment(name);
  return status_of(entry->second);
}

ClusterStatus CoordinatorState::status(TimePoint now) const {
  ClusterStatus status;
  status.term = term_;
  status.profile = options_.profile;
  status.recovering = recovering_;
  for (const auto& [id, node] : nodes_) status.nodes.push_back(status_of(now, node));
  for (const auto& [name, record] : deployments_) status.deployments.push_back(status_of(record));
  return status;
}

DeploymentStatus CoordinatorState::status_of(const DeploymentRecord& deployment) const {
  DeploymentStatus status{deployment.spec, deployment.facts, status_of(replicas_.at(deployment.replicas.front()))};
  for (std::size_t i = 1; i < deployment.replicas.size(); ++i)
    status.others.push_back(status_of(replicas_.at(deployment.replicas[i])));
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
