// What a cluster says of itself: nodes, deployments with their plans, jobs. Plain values, copied out of one answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <tessera/result.hpp>

namespace tessera::client {

enum class NodeState {
  ready,
  draining,  ///< shards leave it
  drained,   ///< holds no shard and gets none
  lost,      ///< known, but not connected
};
const char* to_string(NodeState state);

struct NodeStatus {
  std::uint32_t id = 0;
  std::string name;
  NodeState state = NodeState::ready;
  std::string endpoint;  ///< "host:port" where it takes streams
  bool computes = true;
  std::uint32_t cores = 0;
  std::uint64_t memory_bytes = 0;   ///< that it gives to models
  std::uint64_t planned_bytes = 0;  ///< of them, promised to shards by the plans in force and in preparation
  double speed = 0;                 ///< bytes of weights per second, measured when it started
  std::string isa, profile, version;
  // Of the last heartbeat:
  std::chrono::milliseconds since_beat{0};
  double cpu_share = 0;  ///< of its cores, 0 to 1
  std::uint64_t resident_bytes = 0, weight_bytes = 0, kv_bytes_used = 0;
  std::uint32_t shards = 0, streams_running = 0, streams_waiting = 0;
  double step_seconds_median = 0;
  double wait_share = 0;  ///< of a step spent waiting for other shards
  double tokens_per_second = 0;
  double request_seconds_median = 0;  ///< a request to the coordinator and its answer
  std::uint32_t kv_pages_cached = 0;  ///< that hold prefixes of streams which are gone
  /// Of streams that it admitted since it started: tokens which need not be computed where all prefixes are known, and
  /// those that were not.
  std::uint64_t prefix_tokens_queried = 0, prefix_tokens_hit = 0;
  /// Tokens that its conductors guessed and computed since it started, and those of them that were right.
  std::uint64_t draft_tokens = 0, draft_tokens_accepted = 0;
  /// Connections of strangers that its listeners closed, and calls beyond their caller's role, since it started.
  std::uint64_t connections_refused = 0, calls_denied = 0;
  bool operator==(const NodeStatus&) const = default;
};

/// Half-open run of slices or layers.
struct Run {
  std::uint32_t begin = 0, end = 0;
  bool operator==(const Run&) const = default;
};

struct ShardStatus {
  std::uint32_t rank = 0, stage = 0;
  std::string node;
  Run layers, attention, ffn, vocabulary;
  bool operator==(const ShardStatus&) const = default;
};

/// One epoch of a deployment: where its shards lie.
struct PlanStatus {
  std::uint64_t epoch = 0;
  std::uint32_t stages = 1;
  std::string conductor;            ///< node that samples and holds the streams
  std::vector<ShardStatus> shards;  ///< in rank order
  bool operator==(const PlanStatus&) const = default;
};

enum class DeploymentState {
  waiting,    ///< no placement is possible now; `message` says why
  preparing,  ///< workers map their slices
  switching,  ///< from one plan to the next
  serving,    ///< and nothing else is planned
  failed,     ///< no worker has an undamaged copy of the checkpoint; `message` names what is damaged
};
const char* to_string(DeploymentState state);

/// What a deployment's conductor measured in about the last second.
struct StepMetrics {
  double tokens_per_second = 0, steps_per_second = 0;  ///< 0 while nothing runs
  double rows_per_step = 0;                            ///< tokens that one pass over the model computes, of all streams
  double step_seconds_median = 0, step_seconds_p99 = 0;
  double wait_share = 0;   ///< of the steps' time, waiting for other shards
  double lease_share = 0;  ///< waiting for the right to compute, where deployments share workers
  bool operator==(const StepMetrics&) const = default;
};

/// Whether guessed tokens are computed ahead. No stream has other tokens for it.
enum class Speculation {
  automatic,  ///< where it is measured to be faster
  off,
};
/// "auto" or "off".
const char* to_string(Speculation speculation);

/// One full set of a deployment's shards.
struct ReplicaStatus {
  std::uint64_t replica = 0;
  DeploymentState state = DeploymentState::waiting;
  bool serves = false;                 ///< its streams make progress now, also while a change is being prepared
  std::string message;                 ///< why it waits, or what was changed last
  std::optional<PlanStatus> serving;   ///< the plan in force
  std::optional<PlanStatus> pending;   ///< the next one
  std::optional<StepMetrics> metrics;  ///< of the plan in force; nothing before its first steps
  bool operator==(const ReplicaStatus&) const = default;
};

struct DeploymentStatus {
  std::string name;
  std::string model;  ///< the checkpoint's own name
  std::string uri, content_id, dtype;
  std::uint32_t slices = 0;               ///< most shards that the model can be cut into
  std::uint32_t context_length = 0;       ///< positions of one stream
  std::uint32_t workers = 0, stages = 0;  ///< as asked; 0: the cluster decides
  std::uint32_t kv_positions = 0;         ///< as asked; 0: the default
  Speculation speculation = Speculation::automatic;
  DeploymentState state = DeploymentState::waiting;  ///< of the first replica that is not `serving`, or else `serving`
  bool serves = false;  ///< streams make progress now at some replica, also while a change is being prepared
  std::string message;  ///< of the same replica as `state`
  // Of the first replica:
  std::uint64_t replica = 0;
  std::optional<PlanStatus> serving;
  std::optional<PlanStatus> pending;
  std::optional<StepMetrics> metrics;
  std::vector<ReplicaStatus> replicas;  ///< all of them, at least one
  bool operator==(const DeploymentStatus&) const = default;
};

struct ClusterStatus {
  std::uint64_t term = 0;   ///< of the coordinator: rises when it restarts
  std::string profile;      ///< numeric profile
  bool recovering = false;  ///< the coordinator has just started and expects nodes back
  std::vector<NodeStatus> nodes;
  std::vector<DeploymentStatus> deployments;
  bool operator==(const ClusterStatus&) const = default;
};

struct DeployRequest {
  std::string name;                  ///< lower-case letters, digits and inner hyphens
  std::string uri;                   ///< an absolute path, a URI, or relative to the cluster's storage
  std::uint32_t workers = 0;         ///< shards; 0: every usable worker, up to the slice count
  std::uint32_t stages = 0;          ///< pipeline stages; 0: as few as memory allows
  std::uint32_t kv_positions = 0;    ///< of all streams of a replica together; 0: eight contexts, at most 16,384
  std::string idempotency_key = {};  ///< same key, same answer; empty: drawn per call, so that a retry is safe
  Speculation speculation = Speculation::automatic;
  std::uint32_t replicas = 1;  ///< 1 to 16, on workers of their own where there are enough
};

enum class JobKind { generate, perplexity, verify };
const char* to_string(JobKind kind);
enum class JobState { queued, running, done, failed, cancelled };
const char* to_string(JobState state);

struct JobStatus {
  std::uint64_t id = 0;
  JobKind kind = JobKind::generate;
  std::string deployment, uri;
  std::string client;  ///< who submitted it
  JobState state = JobState::queued;
  std::uint32_t attempt = 0;
  std::string result;          ///< of a job that is done: one line of JSON
  std::optional<Error> error;  ///< of a job that failed or was cancelled
  std::vector<std::string> log;
  std::int64_t submitted_unix_ms = 0;
  bool ended() const { return state != JobState::queued && state != JobState::running; }
};

struct PerplexityRequest {
  std::string deployment;
  std::string text;                  ///< at most 4 MB
  std::uint32_t window = 0;          ///< tokens per window, start token included; 0: the model's context
  std::string idempotency_key = {};  ///< empty: drawn per call
};
struct PerplexityReport {
  double perplexity = 0;
  double mean_negative_log_probability = 0;
  std::uint64_t scored_tokens = 0;
  std::uint32_t windows = 0;
};

struct VerifyReport {
  std::string content_id;
  std::uint64_t bytes = 0;
};

struct JoinTokenRequest {
  std::string role = "worker";
  std::string node = {};  ///< the one name that it lets in; empty: any that is free
  std::chrono::seconds lifetime{3600};
};

}  // namespace tessera::client
