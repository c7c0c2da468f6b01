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
  ReplyBox<ConductorLocation> reply;
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
/// From the Monitor.
struct LoadSampled {
  NodeLoad load;
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

#define TESSERA_LOCAL_MESSAGES(X)                                                                                     \
  X(RegisterNode) X(Heartbeat) X(CoordinatorEvent) X(AskStatus) X(AskLocation) X(AskDeploy) X(DeployFacts)            \
  X(AskUndeploy) X(AskDrain) X(AskStop) X(AskToken) X(AskJoin) X(AskJob) X(AskJobs) X(AskJobWatch) X(AskJobCancel)    \
  X(AskJobReport) X(AskLog) X(StoreCommitted) X(TimePasses) X(PrepareShard) X(ActivateShard) X(HandOverShard)         \
  X(RetireShard) X(StartJob) X(StopJobAttempt) X(JobAttemptEnded) X(JobReportAnswered) X(CoordinatorDropped) X(CoordinatorConnected)       \
  X(CoordinatorLost) X(CoordinatorRegistered) X(HeartbeatAnswered) X(ShardActivated) X(ShardBroken) X(LoadSampled)    \
  X(ShardPrepared) X(OpenStream) X(CancelStream) X(FrontendGone) X(StreamUpdates) X(ReadTokenizer)
#define TESSERA_ALLOW_LOCAL_MESSAGE(name) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::name)
TESSERA_LOCAL_MESSAGES(TESSERA_ALLOW_LOCAL_MESSAGE)
#undef TESSERA_ALLOW_LOCAL_MESSAGE
#undef TESSERA_LOCAL_MESSAGES
