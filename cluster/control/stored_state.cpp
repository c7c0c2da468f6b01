#include "cluster/control/stored_state.hpp"

#include <utility>

namespace tessera {

namespace {

std::string key_of_record(const NodeRecord& record) { return node_key(record.info.name); }
std::string key_of_record(const DeploymentRecord& record) { return deployment_key(record.spec.name); }
std::string key_of_record(const ReplicaRecord& record) { return replica_key(record.replica); }
std::string key_of_record(const JobRecord& record) { return job_key(record.job); }
std::string key_of_record(const CountersRecord&) { return counters_key(); }

void add_record(StoredState& state, NodeRecord record) { state.nodes.push_back(std::move(record)); }
void add_record(StoredState& state, DeploymentRecord record) { state.deployments.push_back(std::move(record)); }
void add_record(StoredState& state, ReplicaRecord record) { state.replicas.push_back(std::move(record)); }
void add_record(StoredState& state, JobRecord record) { state.jobs.push_back(std::move(record)); }
void add_record(StoredState& state, CountersRecord record) { state.counters = record; }

}  // namespace

std::string node_key(const std::string& name) { return "nodes/" + name; }
std::string deployment_key(const std::string& name) { return "deployments/" + name; }
std::string replica_key(ReplicaId replica) { return "replicas/" + std::to_string(replica.value); }
std::string job_key(JobId job) { return "jobs/" + std::to_string(job.value); }
std::string counters_key() { return "counters"; }

std::string key_of(const StoredRecord& record) {
  return std::visit([](const auto& one) { return key_of_record(one); }, record);
}

void StoredState::add(StoredRecord record) {
  std::visit([this](auto&& one) { add_record(*this, std::move(one)); }, std::move(record));
}

}  // namespace tessera
