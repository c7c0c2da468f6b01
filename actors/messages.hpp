// What actors of one node say to each other. Local only: they never leave the process, so they are plain structs. What
// comes from other nodes arrives through cluster/rpc, on its thread, and becomes one of these (bridges); an answer goes
// back through a Reply, once. Mailboxes are bounded at that edge: cluster/rpc limits the calls in flight per peer.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <caf/allowed_unsafe_message_type.hpp>

#include "cluster/control/coordinator_messages.hpp"
#include "cluster/control/stream.hpp"
#include "cluster/executor/replica_executor.hpp"
#include "cluster/rpc/conductor_service.hpp"
#include "cluster/rpc/coordinator_client.hpp"
#include "cluster/rpc/coordinator_service.hpp"
#include "cluster/rpc/join_service.hpp"

namespace tessera {

/// Replies move and messages are shared, so a message holds a box. Whoever answers takes the reply out.
template <typename T>
using ReplyBox = std::shared_ptr<Reply<T>>;
template <typename T>
ReplyBox<T> box(Reply<T> reply) {
  return std::make_shared<Reply<T>>(std::move(reply));
}

// ── to the Coordinator ───────────────────────────────────────────────────────────────────────────────────────────────

struct RegisterNode {
  ConnectionId from;
  NodeInfo info;
  std::vector<HeldEpoch> held;
  NodeProxy node;
  ReplyBox<Registration> reply;
};
struct Heartbeat {
  ConnectionId from;
  NodeLoad load;
  ReplyBox<void> reply;
};
/// What needs no answer of its own.
struct CoordinatorEvent {
  CoordinatorInput input;
};
struct AskStatus {
  ReplyBox<ClusterStatus> reply;
};
struct AskLocation {
  std::string deployment;
  ReplyBox<std::vector<ConductorLocation>> reply;
};
struct AskDeploy {
  DeploySpec spec;
  ProgressSink<DeploymentStatus> progress;
  ReplyBox<DeploymentStatus> reply;
};
/// The checkpoint's facts were read.
struct DeployFacts {
  AskDeploy request;
  Result<ModelFacts> facts;
};
struct AskUndeploy {
  std::string deployment;
  ReplyBox<void> reply;
};
struct AskDrain {
  std::string node;
  ReplyBox<void> reply;
};
struct AskStop {
  std::string node;  ///< empty: all
  ReplyBox<void> reply;
};
struct AskToken {
  JoinGrant grant;
  std::chrono::seconds lifetime;
  ReplyBox<std::string> reply;
};
struct AskJoin {
  std::string peer_address;
  JoinRequest request;
  ReplyBox<JoinAnswer> reply;
};
struct AskJob {
  JobSpec spec;
  ReplyBox<JobRecord> reply;
};
struct AskJobs {
  ReplyBox<std::vector<JobRecord>> reply;
};
struct AskJobWatch {
  JobId job;
  bool attach = false;
  ProgressSink<JobRecord> progress;
  ReplyBox<JobRecord> reply;
};
struct AskJobCancel {
  JobId job;
  ReplyBox<JobRecord> reply;
};
struct AskJobReport {
  JobId job;
  std::uint32_t attempt = 0;
  Result<std::string> result;
  ReplyBox<JobRecord> reply;
};
struct AskLog {
  LogQuery query;
  ReplyBox<std::vector<LogLine>> reply;
};
/// The store has carried out a commit, or not.
struct StoreCommitted {
  Result<std::uint64_t> result;
};
/// Time passes: the coordinator's core, and whatever else is due.
struct TimePasses {};

// ── to the Worker ────────────────────────────────────────────────────────────────────────────────────────────────────

struct PrepareShard {
  EpochPlan plan;
  EpochKeys keys;
  ReplyBox<void> reply;
};
struct ActivateShard {
  Term term;
  ReplicaId replica;
  Epoch epoch;
  ConductorIncarnation incarnation;
  ReplyBox<void> reply;
};
struct HandOverShard {
  Term term;
  ReplicaId replica;
  Epoch from, into;
  ConductorIncarnation incarnation;
  ReplyBox<void> reply;
};
struct RetireShard {
  Term term;
  ReplicaId replica;
  Epoch epoch;
  ReplyBox<void> reply;
};
struct StartJob {
  JobId job;
  std::uint32_t attempt = 0;
  JobSpec spec;
  ReplyBox<void> reply;
};
struct StopJobAttempt {
  JobId job;
  std::uint32_t attempt = 0;
  ReplyBox<void> reply;
};
struct JobAttemptEnded {
  JobId job;
  std::uint32_t attempt = 0;
  Result<std::string> result;
};
/// Whether the report got through; otherwise it is repeated.
struct JobReportAnswered {
  JobAttemptEnded report;
  bool lost = false;
};
/// The coordinator gave this node up.
struct CoordinatorDropped {
  std::string reason;
  bool again = true;
};
/// Answers to what the Worker asked of the coordinator; `attempt` numbers its connections.
struct CoordinatorConnected {
  std::uint64_t attempt = 0;
  Result<CoordinatorClient> client;
};
struct CoordinatorLost {
  std::uint64_t attempt = 0;
  Error why;
};
struct CoordinatorRegistered {
  std::uint64_t attempt = 0;
  Result<Registration> result;
};
struct HeartbeatAnswered {
  std::uint64_t attempt = 0;
  TimePoint sent;
  Result<void> result;
};
/// From Shards, for the coordinator.
struct ShardActivated {
  ReplicaId replica;
  Epoch epoch;
  ConductorIncarnation incarnation;
  Result<void> result;
};
struct ShardBroken {
  ReplicaId replica;
  Epoch epoch;
  Error error;
};
struct ShardDamaged {
  ReplicaId replica;
  Epoch epoch;
  Error error;
};
/// From the Monitor.
struct LoadSampled {
  NodeLoad load;
};
struct MetricsTaken {
  std::vector<ReplicaMetrics> metrics;
};

// ── to the Shard ─────────────────────────────────────────────────────────────────────────────────────────────────────

struct ShardPrepared {
  Epoch epoch;
  Result<void> result;
};

// ── to the Conductor ─────────────────────────────────────────────────────────────────────────────────────────────────

struct OpenStream {
  StreamRequest request;
  UpdateSink sink;
  ReplyBox<void> reply;
};
struct CancelStream {
  StreamId stream;
  ReplyBox<void> reply;
};
struct FrontendGone {
  StreamId stream;
  SinkId sink;
};
struct StreamUpdates {
  std::vector<StreamUpdate> updates;
};
struct ReadTokenizer {
  TokenizerQuery query;
  ReplyBox<TokenizerChunk> reply;
};

}  // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::RegisterNode)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::Heartbeat)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::CoordinatorEvent)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskStatus)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskLocation)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskDeploy)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::DeployFacts)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskUndeploy)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskDrain)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskStop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskToken)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskJoin)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskJob)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskJobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskJobWatch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskJobCancel)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskJobReport)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::AskLog)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::StoreCommitted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::TimePasses)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::PrepareShard)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::ActivateShard)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::HandOverShard)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::RetireShard)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::StartJob)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::StopJobAttempt)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::JobAttemptEnded)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::JobReportAnswered)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::CoordinatorDropped)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::CoordinatorConnected)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::CoordinatorLost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::CoordinatorRegistered)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::HeartbeatAnswered)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::ShardActivated)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::ShardBroken)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::ShardDamaged)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::LoadSampled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::MetricsTaken)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::ShardPrepared)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::OpenStream)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::CancelStream)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::FrontendGone)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::StreamUpdates)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::ReadTokenizer)
