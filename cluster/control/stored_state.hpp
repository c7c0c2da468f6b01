// What the coordinator keeps in the store, so that a successor can go on: one record per key, each written whole.
//
//   nodes/<name>   deployments/<name>   replicas/<id>   jobs/<id>   counters
//
// The coordinator's term is not here: it is raised by compare-and-set before anything is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cluster/control/deployment.hpp"

namespace tessera {

/// A name and its number; kept while the node is away, with what it last said of itself.
struct NodeRecord {
  NodeId node;
  NodeInfo info;
  bool draining = false;
};

struct DeploymentRecord {
  DeploySpec spec;
  ModelFacts facts;
  std::vector<ReplicaId> replicas;  ///< ascending, at least one
};

/// A node whose copy of a replica's checkpoint is not what was deployed, or has bytes without their checksum.
struct DamagedCopy {
  NodeId node;
  NodeIncarnation process;  ///< that found it; the next process of the node is trusted again
  std::string reason;       ///< names file and dataset
};

struct ReplicaRecord {
  ReplicaId replica;
  std::string deployment;
  Epoch last_epoch;  ///< the highest that was ever given to it
  /// The last conductor that was told to run, and the process it lives in. Its incarnation stays while these do.
  ConductorIncarnation incarnation;
  NodeId conductor_node;
  NodeIncarnation conductor_process;
  std::optional<EpochPlan> serving;  ///< the last activated epoch; kept while it is broken
  ConductorIncarnation serving_incarnation;
  bool broken = false;               ///< `serving` computes no more
  std::optional<EpochPlan> pending;  ///< in preparation, or being switched to
  bool switching = false;            ///< activate or hand_over was sent for `pending`
  std::vector<DamagedCopy> damaged;  ///< ascending nodes; none of them gets a shard
};

/// The next free numbers.
struct CountersRecord {
  NodeId next_node{1};
  ReplicaId next_replica{1};
  JobId next_job{1};
};

using StoredRecord = std::variant<NodeRecord, DeploymentRecord, ReplicaRecord, JobRecord, CountersRecord>;

std::string node_key(const std::string& name);
std::string deployment_key(const std::string& name);
std::string replica_key(ReplicaId replica);
std::string job_key(JobId job);
std::string counters_key();
/// The key that a record is stored under.
std::string key_of(const StoredRecord& record);

/// Everything that was stored, as a new coordinator reads it.
struct StoredState {
  std::vector<NodeRecord> nodes;
  std::vector<DeploymentRecord> deployments;
  std::vector<ReplicaRecord> replicas;
  std::vector<JobRecord> jobs;
  CountersRecord counters;
  void add(StoredRecord record);
};

}  // namespace tessera
