// The coordinator's side of the control plane: what nodes and clients ask of it (CoordinatorHandler), and what it
// commands a node over the connection by which that node registered (NodeProxy).
//
// Handler methods run on the RPC thread and must not block: they pass the values on and answer later, from any thread.
// Roles are checked before (rpc_methods.hpp). Handlers of one connection are called in the order of its calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cluster/auth/join_token.hpp"
#include "cluster/control/coordinator_messages.hpp"
#include "cluster/control/deployment.hpp"
#include "cluster/control/node_info.hpp"
#include "cluster/control/plan.hpp"
#include "cluster/rpc/connection.hpp"
#include "cluster/rpc/reply.hpp"

namespace tessera {

class RpcQueue;

/// One line of a node's log. Numbers rise by one per line in one life of the node, from 1.
struct LogLine {
  std::uint64_t number = 0;
  std::string text;
  std::uint64_t life = 0;  ///< of the node: its incarnation
};
struct LogQuery {
  std::string node;                   ///< ignored by the node itself
  std::uint64_t after = 0;            ///< only lines with higher numbers; 0: the last `lines`
  std::uint32_t lines = 100;          ///< at most; rpc_limits::log_lines_max
  std::chrono::milliseconds wait{0};  ///< to follow: answer when there is a line, or after this time with none
  std::uint64_t life = 0;             ///< that `after` counts in: in another one every line is new. 0: whichever
};

/// Commands to one registered node. A copyable handle for any thread; it does not keep the connection open. Every call
/// answers exactly once, on the RPC thread, `timed_out` after its deadline and `unavailable` once the connection is
/// closed (on the calling thread, when the RPC thread has stopped).
class NodeProxy {
 public:
  using Deadline = std::chrono::milliseconds;

  /// A node that is not there.
  NodeProxy() = default;
  NodeProxy(std::shared_ptr<RpcQueue> queue, ConnectionId connection)
      : queue_(std::move(queue)), connection_(connection) {}
  ConnectionId connection() const { return connection_; }

  /// Answers when the node has prepared the epoch, or why it cannot.
  void prepare(EpochPlan plan, EpochKeys keys, Deadline deadline, Reply<void> reply) const;
  /// Answers when it is accepted; that the epoch computes is told by CoordinatorHandler::epoch_activated.
  void activate(Term term, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation, Deadline deadline,
                Reply<void> reply) const;
  /// As activate(); the new root's node tells.
  void hand_over(Term term, ReplicaId replica, Epoch from, Epoch into, ConductorIncarnation incarnation,
                 Deadline deadline, Reply<void> reply) const;
  void retire(Term term, ReplicaId replica, Epoch epoch, Deadline deadline, Reply<void> reply) const;
  /// Answers when the attempt runs; its end comes by CoordinatorHandler::report_job.
  void run_job(JobId job, std::uint32_t attempt, JobSpec spec, Deadline deadline, Reply<void> reply) const;
  void stop_job(JobId job, std::uint32_t attempt, Deadline deadline, Reply<void> reply) const;
  void read_log(LogQuery query, Deadline deadline, Reply<std::vector<LogLine>> reply) const;
  /// Tells the node that it is given up, and why, and closes the connection. `again`: it may register anew; otherwise
  /// it should end.
  void drop(std::string reason, bool again) const;

 private:
  std::shared_ptr<RpcQueue> queue_;
  ConnectionId connection_;
};

/// Values on their way to a client while its call is open; only the newest is kept when the client is slow. A copyable
/// handle for any thread.
template <typename T>
class ProgressSink {
 public:
  ProgressSink() = default;
  struct Channel {
    virtual ~Channel() = default;
    virtual void send(T value) = 0;
    virtual bool closed() const = 0;
  };
  explicit ProgressSink(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}

  void send(T value) const {
    if (channel_) channel_->send(std::move(value));
  }
  /// Whether nobody listens any more: the call was answered, given up, or its connection is closed.
  bool closed() const { return !channel_ || channel_->closed(); }

 private:
  std::shared_ptr<Channel> channel_;
};

class CoordinatorHandler {
 public:
  virtual ~CoordinatorHandler() = default;

  // ── from nodes ──
  virtual void register_node(const Caller& caller, NodeInfo info, std::vector<HeldEpoch> held, NodeProxy node,
                             Reply<Registration> reply) = 0;
  virtual void heartbeat(const Caller& caller, NodeLoad load, Reply<void> reply) = 0;
  /// From the new root's node: every member of the epoch has acknowledged, and the conductor runs.
  virtual void epoch_activated(const Caller& caller, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation,
                               Reply<void> reply) = 0;
  virtual void epoch_broken(const Caller& caller, ReplicaId replica, Epoch epoch, std::string reason,
                            Reply<void> reply) = 0;
  /// The caller's copy of the replica's checkpoint is of no use; `reason` names file and dataset.
  virtual void copy_damaged(const Caller& caller, ReplicaId replica, Epoch epoch, std::string reason,
                            Reply<void> reply) = 0;
  virtual void report_metrics(const Caller& caller, std::vector<ReplicaMetrics> metrics, Reply<void> reply) = 0;

  // ── from clients ──
  virtual void status(const Caller& caller, Reply<ClusterStatus> reply) = 0;
  virtual void deploy(const Caller& caller, DeploySpec spec, ProgressSink<DeploymentStatus> progress,
                      Reply<DeploymentStatus> reply) = 0;
  virtual void undeploy(const Caller& caller, std::string deployment, Reply<void> reply) = 0;
  /// Answers when no plan uses the node.
  virtual void drain(const Caller& caller, std::string node, Reply<void> reply) = 0;
  /// Ends a node's process; an empty name: every node, the coordinator last.
  virtual void stop_node(const Caller& caller, std::string node, Reply<void> reply) = 0;
  virtual void create_token(const Caller& caller, JoinGrant grant, std::chrono::seconds lifetime,
                            Reply<std::string> reply) = 0;
  virtual void locate(const Caller& caller, std::string deployment, Reply<std::vector<ConductorLocation>> reply) = 0;

  virtual void submit_job(const Caller& caller, JobSpec spec, Reply<JobRecord> reply) = 0;
  virtual void list_jobs(const Caller& caller, Reply<std::vector<JobRecord>> reply) = 0;
  /// Sends the record now and after every change; answers with the last one when the job has ended. `attach`: the
  /// caller is the job's frontend, and the job depends on this call (or another with attach) being open.
  virtual void watch_job(const Caller& caller, JobId job, bool attach, ProgressSink<JobRecord> progress,
                         Reply<JobRecord> reply) = 0;
  virtual void cancel_job(const Caller& caller, JobId job, Reply<JobRecord> reply) = 0;
  /// The end of an attempt, from its frontend (generate) or its worker. `conflict` when it is not the current one.
  virtual void report_job(const Caller& caller, JobId job, std::uint32_t attempt, Result<std::string> result,
                          Reply<JobRecord> reply) = 0;
  virtual void read_log(const Caller& caller, LogQuery query, Reply<std::vector<LogLine>> reply) = 0;

  /// The connection is closed, by its peer or by NodeProxy::drop; nothing more comes from it. Told once for every
  /// connection that called any method, but not when the listener or the RPC thread ends: that is no news of the peer.
  virtual void on_disconnected(const Caller& caller) = 0;
};

}  // namespace tessera
