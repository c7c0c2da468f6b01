// What goes into the coordinator's core and what comes out: plain values.
//
// A node is known to the core by the connection over which it registered; the shell numbers connections as they are
// accepted and never reuses a number. Inputs of a connection that the core has given up are ignored (heartbeats are
// answered with DropNode), and outputs name the connection, so that nothing meant for one process reaches the next.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "cluster/control/deployment.hpp"
#include "cluster/control/stored_state.hpp"

namespace tessera {

/// One accepted connection of a node to this coordinator's process.
using ConnectionId = Id<struct ConnectionIdTag, std::uint64_t>;
/// A request that waits for its one answer; drawn by the shell.
using RequestToken = Id<struct RequestTokenTag, std::uint64_t>;

// ── Inputs: nodes ────────────────────────────────────────────────────────────────────────────────────────────────────

/// Answered by RegistrationAnswered, once. An epoch that broke while there was no coordinator to tell is not `held`.
struct NodeRegistered {
  ConnectionId from;
  NodeInfo info;
  std::vector<HeldEpoch> held;
};
struct NodeBeat {
  ConnectionId from;
  NodeLoad load;
};
/// The connection is closed, whoever closed it.
struct NodeDisconnected {
  ConnectionId from;
};
/// A participant's answer to PrepareEpoch.
struct EpochPrepared {
  ConnectionId from;
  ReplicaId replica;
  Epoch epoch;
  Result<void> result;
};
/// From the new root: every member has acknowledged the epoch's first command, and the conductor runs.
struct EpochActivated {
  ConnectionId from;
  ReplicaId replica;
  Epoch epoch;
  ConductorIncarnation incarnation;
};
/// From any participant: its collective or shard failed, or it cannot do what activate, hand_over asked for.
struct EpochBroken {
  ConnectionId from;
  ReplicaId replica;
  Epoch epoch;
  std::string reason;
};
/// From any participant, at any time, also again: what it reads the replica's weights from is damaged. The epoch is
/// reported broken, or as not prepared, besides.
struct CopyDamaged {
  ConnectionId from;
  ReplicaId replica;
  Epoch epoch;
  std::string reason;  ///< names file and dataset
};

/// From a conductor's node; what comes from others, or of another epoch, is ignored.
struct ReplicaMeasured {
  ConnectionId from;
  ReplicaMetrics metrics;
};

// ── Inputs: requests ─────────────────────────────────────────────────────────────────────────────────────────────────

/// Answered by DeployAnswered as soon as it is accepted (not when it serves) or refused.
struct DeployRequested {
  RequestToken token;
  DeploySpec spec;
  ModelFacts facts;
};
/// Answered when every living participant has been told to retire.
struct UndeployRequested {
  RequestToken token;
  std::string name;
};
/// Answered when no plan uses the node any more; refused, with the arithmetic, where a deployment would not fit.
struct DrainRequested {
  RequestToken token;
  std::string node;
};
/// Answered by JobAnswered with the new job, or with the one that has the same idempotency key.
struct JobSubmitted {
  RequestToken token;
  JobSpec spec;
  std::int64_t unix_ms = 0;  ///< for people only
};
/// Answered by JobAnswered; a job that has ended stays as it ended.
struct JobCancelRequested {
  RequestToken token;
  JobId job;
};
/// A client attached to its job (again), or was lost. A generate job whose client stays away is cancelled.
struct JobClientSeen {
  JobId job;
};
struct JobClientLost {
  JobId job;
};
/// The end of an attempt: from the client (generate) or from the worker that runs it. Answered by JobAnswered:
/// `conflict` when the attempt is not the current one or the job has ended. Whoever reports repeats until answered.
struct JobReported {
  RequestToken token;
  JobId job;
  std::uint32_t attempt = 0;
  Result<std::string> result;
};
/// Time passes: due every heartbeat interval or more often.
struct Tick {};

using CoordinatorInput =
    std::variant<NodeRegistered, NodeBeat, NodeDisconnected, EpochPrepared, EpochActivated, EpochBroken, CopyDamaged,
                 ReplicaMeasured, DeployRequested, UndeployRequested, DrainRequested, JobSubmitted, JobCancelRequested,
                 JobClientSeen, JobClientLost, JobReported, Tick>;

// ── Outputs ──────────────────────────────────────────────────────────────────────────────────────────────────────────
// In order. A Persist or Erase must be durable before any later output is carried out.

struct Registration {
  NodeId node;
  Term term;
  std::chrono::milliseconds heartbeat_interval{100};
};
struct RegistrationAnswered {
  ConnectionId to;
  Result<Registration> result;
};
/// To every participant: `to[i]` is the connection of plan.participants[i]. The shell draws one key per pair and sends
/// each participant the plan with its own keys. Every one answers with EpochPrepared.
struct PrepareEpoch {
  EpochPlan plan;
  std::vector<ConnectionId> to;
};
/// To the new root's node: start (or keep, same incarnation) the conductor, without KV. Answered by EpochActivated or
/// EpochBroken.
struct ActivateEpoch {
  NodeId node;
  ConnectionId to;
  Term term;
  ReplicaId replica;
  Epoch epoch;
  ConductorIncarnation incarnation;
};
/// To the old conductor's node; the answer (EpochActivated of epoch `into`) comes from the new root, or EpochBroken
/// from anyone.
struct HandOver {
  NodeId node;
  ConnectionId to;
  Term term;
  ReplicaId replica;
  Epoch from, into;
  ConductorIncarnation incarnation;  ///< of the new conductor
};
/// Let go of one epoch (and nothing else); unknown ones are ignored. Not answered: a node that does not get it reports
/// the epoch as held when it registers again, and is told again.
struct RetireEpoch {
  NodeId node;
  ConnectionId to;
  Term term;
  ReplicaId replica;
  Epoch epoch;
};
/// Close the connection; the node may register again (`again`) or should end.
struct DropNode {
  ConnectionId to;
  std::string reason;
  bool again = true;
};
/// Run an attempt, unless it already runs or has been run; report with JobReported.
struct RunJob {
  NodeId node;
  ConnectionId to;
  JobId job;
  std::uint32_t attempt = 0;
  JobSpec spec;
};
struct StopJob {
  NodeId node;
  ConnectionId to;
  JobId job;
  std::uint32_t attempt = 0;
};
struct Persist {
  StoredRecord record;
};
struct Erase {
  std::string key;
};
struct DeployAnswered {
  RequestToken token;
  Result<DeploymentStatus> result;
};
/// To undeploy and drain.
struct Answered {
  RequestToken token;
  Result<void> result;
};
struct JobAnswered {
  RequestToken token;
  Result<JobRecord> result;
};
/// A job changed; for whoever watches it.
struct JobChanged {
  JobRecord job;
};
enum class EventLevel : std::uint8_t { info, warning };
/// For the log.
struct Event {
  EventLevel level = EventLevel::info;
  std::string text;
};

using CoordinatorOutput =
    std::variant<RegistrationAnswered, PrepareEpoch, ActivateEpoch, HandOver, RetireEpoch, DropNode, RunJob, StopJob,
                 Persist, Erase, DeployAnswered, Answered, JobAnswered, JobChanged, Event>;
using CoordinatorOutputs = std::vector<CoordinatorOutput>;

}  // namespace tessera
