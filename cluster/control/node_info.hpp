// What a node tells the coordinator about itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/control/plan.hpp"
#include "cluster/control/step_rows.hpp"

namespace tessera {

/// Fixed for one life of the process.
struct NodeInfo {
  std::string name;
  NodeIncarnation incarnation;
  Endpoint rpc;   ///< where frontends reach its conductors
  Endpoint data;  ///< where other workers reach its data plane
  bool computes = true;
  std::uint32_t cores = 1;
  std::uint64_t memory_bytes = 0;  ///< that weights, KV pages and buffers of all its shards may take together
  double speed = 1;                ///< measured at start: bytes of weights per second (read bandwidth)
  std::string isa;
  std::string profile;
  std::string version;
};

/// What a shard's node holds of a replica, reported when it registers again (its coordinator was away).
struct HeldEpoch {
  ReplicaId replica;
  Epoch epoch;
  bool active = false;  ///< its first step was acknowledged; otherwise only prepared
  bool conducts = false;
  ConductorIncarnation incarnation;  ///< of the conductor, where it conducts
};

/// What a node's conductor of one replica does now, and has done since the node got its shard; counts only rise.
struct ReplicaLoad {
  ReplicaId replica;
  std::uint32_t streams_running = 0, streams_waiting = 0;
  std::uint32_t kv_pages_used = 0, kv_pages = 0;                   ///< both 0 where it does not conduct now
  std::uint64_t prefix_tokens_queried = 0, prefix_tokens_hit = 0;  ///< as those of NodeLoad
  std::uint64_t preempted = 0;                                     ///< streams that lost their pages to others
  StepRows step_rows;
};

/// One sample of a node's load, with every heartbeat.
struct NodeLoad {
  double cpu_share = 0;  ///< of its cores, 0 to 1
  std::uint64_t resident_bytes = 0;
  std::uint64_t weight_bytes = 0;   ///< mapped
  std::uint64_t kv_bytes_used = 0;  ///< pages that hold tokens
  std::uint32_t shards = 0;
  std::uint32_t streams_running = 0;  ///< of the conductors on this node
  std::uint32_t streams_waiting = 0;
  double step_seconds_median = 0;  ///< over the last steps of all its shards
  double wait_share = 0;           ///< of a step spent waiting for other shards
  double tokens_per_second = 0;
  double request_seconds_median = 0;  ///< from its Worker to the Coordinator and back, over the last heartbeats
  std::uint32_t kv_pages_cached = 0;  ///< of its conductors, that hold prefixes of streams which are gone
  /// Tokens of streams that its conductors admitted since the process started: which need not be computed where all
  /// prefixes are known, and which were not.
  std::uint64_t prefix_tokens_queried = 0, prefix_tokens_hit = 0;
  std::uint64_t kv_bytes = 0;              ///< of its KV caches, used or not
  std::vector<ReplicaLoad> replicas = {};  ///< that it conducts, or has conducted
  /// Tokens that its conductors guessed and computed since the process started, and those of them that were right.
  std::uint64_t draft_tokens = 0, draft_tokens_accepted = 0;
  /// Connections that its listeners closed because nobody proved to be somebody, and calls beyond their caller's role,
  /// since the process started.
  std::uint64_t connections_refused = 0, calls_denied = 0;
};

/// What a replica's conductor measured since its last report, about a second.
struct ReplicaMetrics {
  ReplicaId replica;
  Epoch epoch;
  std::uint64_t steps = 0, rows = 0, tokens = 0;
  double seconds = 0;  ///< that the report covers
  double step_seconds_median = 0, step_seconds_p99 = 0;
  double wait_share = 0;   ///< of the steps' time, waiting for other shards
  double lease_share = 0;  ///< of the steps' time and the waiting for the right to compute, the latter
};

}  // namespace tessera
