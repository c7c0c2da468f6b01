// What a cluster serves, as clients, coordinator and store speak about it: deployments, jobs, and the views of both.
// Plain values; cluster/rpc carries them over the wire and encodes the stored ones.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/control/node_info.hpp"
#include "cluster/control/plan.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/pooling.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

/// What placement must know of a checkpoint; read from its manifest when it is deployed, and pinned from then on.
struct ModelFacts {
  ModelShape shape;
  SliceGeometry geometry;
  WeightTypes types = DType::f32;
  std::string name;          ///< of the model, from the manifest
  std::string uri;           ///< that every worker opens
  std::string content_id;    ///< that every worker's file must have
  PoolingPlan pooling = {};  ///< of vectors, where a request says nothing; with its tokens_max
  bool operator==(const ModelFacts&) const = default;
};

/// A request to serve a checkpoint under a name.
struct DeploySpec {
  std::string name;
  std::string uri;
  std::uint32_t workers = 0;       ///< shards wanted; 0: every usable worker, up to the slice count
  std::uint32_t stages = 0;        ///< pipeline stages; 0: as few as memory allows
  std::uint32_t kv_positions = 0;  ///< of all streams of a replica together; 0: see kv_positions_for()
  Speculation speculation = Speculation::automatic;
  std::string idempotency_key;  ///< same key, same answer; empty: none
  std::uint32_t replicas = 1;   ///< each with as many workers and KV positions; at most replicas_max
  /// Everything but the key.
  bool same_content(const DeploySpec& other) const;
};

inline constexpr std::size_t deployment_name_bytes_max = 64;
inline constexpr std::uint32_t replicas_max = 16;
/// Positions that a deployment gets when it names none: eight contexts, at most 16,384, at least one context.
std::uint32_t kv_positions_for(const DeploySpec& spec, const ModelShape& shape);

// ── Jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

enum class JobKind : std::uint8_t {
  generate,    ///< the submitting client is the frontend and computes nothing itself; ends when it stays away
  perplexity,  ///< a worker scores `input` through the deployment
  verify,      ///< a worker checks every byte of the checkpoint at `uri`
};
enum class JobState : std::uint8_t { queued, running, done, failed, cancelled };
const char* to_string(JobKind kind);
const char* to_string(JobState state);
inline bool ended(JobState state) { return state >= JobState::done; }

struct JobSpec {
  JobKind kind = JobKind::generate;
  std::string deployment;  ///< generate, perplexity
  std::string uri;         ///< verify: the checkpoint; perplexity: a text file, unless `input` has the text
  std::string input;       ///< the text, or a description of the request; opaque here, at most job_input_bytes_max
  std::string idempotency_key;
  std::string client;  ///< name in the certificate of whoever submitted it
  bool operator==(const JobSpec&) const = default;
};

inline constexpr std::size_t job_input_bytes_max = 4u << 20;
inline constexpr std::size_t job_result_bytes_max = 4u << 20;
/// Lines of a job's log; the oldest go first.
inline constexpr std::size_t job_log_lines_max = 32;

/// A job and how far it is. Stored; `node` and `process` name the worker of the current attempt (perplexity, verify).
struct JobRecord {
  JobId job;
  JobSpec spec;
  JobState state = JobState::queued;
  std::uint32_t attempt = 0;  ///< counts from 1 once it runs; a report for another attempt is refused
  NodeId node;                ///< 0: none
  NodeIncarnation process;
  std::string result;          ///< of a job that is done
  std::optional<Error> error;  ///< of a job that failed or was cancelled
  std::vector<std::string> log;
  std::int64_t submitted_unix_ms = 0;
};

// ── Views ────────────────────────────────────────────────────────────────────────────────────────────────────────────

enum class NodeState : std::uint8_t {
  ready,
  draining,  ///< shards leave it
  drained,   ///< holds no shard and gets none
  lost,      ///< known, but not connected
};
const char* to_string(NodeState state);

struct NodeStatus {
  NodeId node;
  NodeInfo info;
  NodeState state = NodeState::ready;
  std::chrono::milliseconds since_beat{0};
  NodeLoad load;
  std::uint64_t planned_bytes = 0;  ///< by the plans in force and in preparation
};

enum class ReplicaState : std::uint8_t {
  waiting,    ///< no placement is possible now; `message` says why
  preparing,  ///< participants map their slices
  switching,  ///< activating, or handing over from the serving epoch
  serving,    ///< and nothing else is planned
  failed,     ///< no worker has an undamaged copy of the checkpoint; `message` names what is damaged
};
const char* to_string(ReplicaState state);

struct ReplicaStatus {
  ReplicaId replica;
  ReplicaState state = ReplicaState::waiting;
  bool serves = false;  ///< streams make progress now (also while a change is being prepared)
  ConductorIncarnation incarnation;
  std::optional<EpochPlan> serving;  ///< the last epoch that was activated
  std::optional<EpochPlan> pending;
  std::string message;  ///< why it waits, or what was changed last
  /// The conductor's last report of the serving epoch; without steps when there was none for a while.
  std::optional<ReplicaMetrics> metrics;
};

struct DeploymentStatus {
  DeploySpec spec;
  ModelFacts facts;
  ReplicaStatus replica;                   ///< the first one
  std::vector<ReplicaStatus> others = {};  ///< where it has several
  /// Streams make progress now, at one of its replicas.
  bool serves() const;
  /// The one that says most of the deployment: the first that does not serve undisturbed, or else the first.
  const ReplicaStatus& least_settled() const;
};

struct ClusterStatus {
  Term term;
  std::string profile;
  bool recovering = false;  ///< just started: nodes are expected back
  std::vector<NodeStatus> nodes;
  std::vector<DeploymentStatus> deployments;
};

/// Where the conductor of one of a deployment's replicas is.
struct ConductorLocation {
  std::string deployment;
  ReplicaId replica;
  Epoch epoch;
  ConductorIncarnation incarnation;
  NodeId node;
  std::string node_name;
  Endpoint rpc;
};

}  // namespace tessera
