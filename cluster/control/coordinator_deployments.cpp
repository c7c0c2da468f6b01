#include <algorithm>

#include "cluster/control/coordinator_state.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera {

Result<void> CoordinatorState::check_deploy(const DeployRequested& input) const {
  const DeploySpec& spec = input.spec;
  if (spec.name.empty() || spec.name.size() > deployment_name_bytes_max) {
    return Error{ErrorCode::invalid_argument,
                 "a deployment's name has 1 to " + std::to_string(deployment_name_bytes_max) + " bytes"};
  }
  for (const auto& [name, other] : deployments_) {
    if (!spec.idempotency_key.empty() && other.spec.idempotency_key == spec.idempotency_key && name != spec.name) {
      return Error{ErrorCode::conflict, "the idempotency key '" + spec.idempotency_key + "' was used to deploy '" +
                                            name + "'; use a new key"};
    }
  }
  if (spec.replicas == 0 || spec.replicas > replicas_max) {
    return Error{ErrorCode::invalid_argument, "'" + spec.name + "' asks for " + std::to_string(spec.replicas) +
                                                  " replicas; use 1 to " + std::to_string(replicas_max)};
  }
  if (deployments_.size() >= deployments_max) {
    return Error{ErrorCode::exhausted, "there are " + std::to_string(deployments_max) +
                                           " deployments, the most that a cluster takes; undeploy one"};
  }
  const std::uint32_t positions = kv_positions_for(spec, input.facts.shape);
  if (positions < std::min(input.facts.shape.context_length, kv_page_positions) ||
      positions > UINT32_MAX - kv_page_positions) {
    return Error{ErrorCode::invalid_argument, std::to_string(positions) + " KV positions are not usable; ask for " +
                                                  std::to_string(kv_page_positions) + " or more"};
  }
  // Fits nowhere, even with every worker that is known: refused. With too few workers: it waits.
  DeploymentRecord deployment{spec, input.facts, {}};
  ReplicaRecord replica;
  replica.deployment = spec.name;
  const auto placement = choose_among(replica, nullptr, deployment, Candidates::known);
  if (!placement && placement.error().code != ErrorCode::unavailable) return placement.error();
  return {};
}

void CoordinatorState::on(const DeployRequested& input) {
  const std::string& name = input.spec.name;
  if (const auto known = deployments_.find(name); known != deployments_.end()) {
    if (known->second.spec.same_content(input.spec) && known->second.facts.content_id == input.facts.content_id) {
      emit(DeployAnswered{input.token, deployment(name)});
    } else {
      emit(DeployAnswered{input.token, Error{ErrorCode::conflict, "'" + name + "' is deployed with other content (" +
                                                                      known->second.facts.uri + ", content " +
                                                                      known->second.facts.content_id +
                                                                      "); undeploy it first, or use another name"}});
    }
    return;
  }
  if (const auto good = check_deploy(input); !good) {
    emit(DeployAnswered{input.token, good.error()});
    return;
  }
  DeploymentRecord deployed{input.spec, input.facts, {}};
  for (std::uint32_t i = 0; i < input.spec.replicas; ++i) {
    deployed.replicas.push_back(counters_.next_replica);
    counters_.next_replica.value += 1;
  }
  emit(Persist{counters_});
  emit(Persist{deployed});
  log(EventLevel::info, "'" + name + "' is deployed: " + input.facts.uri + ", content " + input.facts.content_id);
  deployments_[name] = deployed;
  for (const ReplicaId id : deployed.replicas) {
    Replica& replica = replicas_[id];
    replica.record.replica = id;
    replica.record.deployment = name;
    replica.due = true;
    persist(replica);
  }
  // All are there before the first is planned: each keeps to its share.
  for (const ReplicaId id : deployed.replicas) plan_where_due(replicas_.at(id));
  emit(DeployAnswered{input.token, deployment(name)});
}

void CoordinatorState::on(const UndeployRequested& input) {
  const auto entry = deployments_.find(input.name);
  if (entry == deployments_.end()) {
    emit(Answered{input.token, Error{ErrorCode::not_found, "there is no deployment '" + input.name + "'"}});
    return;
  }
  // First forgotten, then retired: a successor that does not know the replica has its held epochs retired too.
  emit(Erase{deployment_key(input.name)});
  for (const ReplicaId id : entry->second.replicas) {
    emit(Erase{replica_key(id)});
    leave_all(replicas_.at(id));
    retire_past(replicas_.at(id));
    replicas_.erase(id);
  }
  deployments_.erase(entry);
  log(EventLevel::info, "'" + input.name + "' is undeployed");
  emit(Answered{input.token, Result<void>{}});
  all_due();
}

}  // namespace tessera
