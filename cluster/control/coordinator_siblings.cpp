// The replicas of one deployment: who keeps to which workers.
#include <algorithm>

#include "cluster/control/coordinator_state.hpp"
#include "cluster/control/worker_shares.hpp"

namespace tessera {

namespace {

/// Where its shards will be, or are.
std::vector<NodeId> nodes_of(const ReplicaRecord& record) {
  const auto& plan = record.pending ? record.pending : record.serving;
  return plan ? rank_nodes(*plan) : std::vector<NodeId>{};
}

}  // namespace

std::optional<std::set<NodeId>> CoordinatorState::share_of(const Replica& replica, Candidates candidates) const {
  const DeploymentRecord& deployment = deployments_.at(replica.record.deployment);
  if (deployment.replicas.size() < 2) return std::nullopt;
  const std::map<NodeId, double> speeds = node_speeds();
  std::vector<SharedWorker> workers;
  for (const auto& [id, node] : nodes_) {
    if (eligible(node, nullptr, candidates)) workers.push_back({id, speeds.at(id)});
  }
  std::vector<ShareClaim> claims;
  std::size_t mine = 0;
  for (const ReplicaId id : deployment.replicas) {
    const Replica& each = replicas_.at(id);
    if (id == replica.record.replica) mine = claims.size();
    ShareClaim claim{nodes_of(each.record)};
    for (const SharedWorker& worker : workers) {
      if (!eligible(nodes_.at(worker.node), &each, candidates)) claim.refused.insert(worker.node);
    }
    claims.push_back(std::move(claim));
  }
  return share_workers(workers, claims, deployment.spec.workers, deployment.spec.stages)[mine];
}

std::size_t CoordinatorState::shared_with_siblings(const Replica& replica, const std::vector<NodeId>& nodes) const {
  const std::set<NodeId> mine(nodes.begin(), nodes.end());
  std::size_t shared = 0;
  for (const ReplicaId id : deployments_.at(replica.record.deployment).replicas) {
    if (id == replica.record.replica) continue;
    const std::vector<NodeId> theirs = nodes_of(replicas_.at(id).record);
    shared += static_cast<std::size_t>(
        std::count_if(theirs.begin(), theirs.end(), [&](NodeId node) { return mine.contains(node); }));
  }
  return shared;
}

}  // namespace tessera
