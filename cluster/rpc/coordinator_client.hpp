// CoordinatorClient: a connection to the coordinator, of a node or of a client. Whoever owns it dials again when it is
// lost.
//
//   CoordinatorClient::connect(thread, options, [](Error why) { … }, [](Result<CoordinatorClient> client) { … });
//
// Every call answers exactly once, on the RPC thread: `timed_out` after its deadline, `unavailable` when the connection
// is lost or was given up. (Where the RPC thread has stopped, at once on the calling thread.)
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/rpc/coordinator_service.hpp"
#include "cluster/rpc/rpc_thread.hpp"

namespace tessera {

/// What the coordinator commands a node. Called on the RPC thread, must not block; lives until RpcThread::stop()
/// returned. The answers are those of NodeProxy.
class NodeHandler {
 public:
  virtual ~NodeHandler() = default;
  virtual void prepare(EpochPlan plan, EpochKeys keys, Reply<void> reply) = 0;
  virtual void activate(Term term, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation,
                        Reply<void> reply) = 0;
  virtual void hand_over(Term term, ReplicaId replica, Epoch from, Epoch into, ConductorIncarnation incarnation,
                         Reply<void> reply) = 0;
  virtual void retire(Term term, ReplicaId replica, Epoch epoch, Reply<void> reply) = 0;
  virtual void run_job(JobId job, std::uint32_t attempt, JobSpec spec, Reply<void> reply) = 0;
  virtual void stop_job(JobId job, std::uint32_t attempt, Reply<void> reply) = 0;
  virtual void read_log(LogQuery query, Reply<std::vector<LogLine>> reply) = 0;
  /// The coordinator closes the connection now; `again`: register anew, otherwise end the process.
  virtual void on_dropped(std::string reason, bool again) = 0;
};

/// A copyable handle for any thread; the connection is closed when the last copy is gone.
class CoordinatorClient {
 public:
  using Deadline = std::chrono::milliseconds;

  /// Dials and does the handshake. Errors: `unavailable` nobody there; `denied` TLS failed (foreign authority, wrong
  /// name); `unsupported`, `conflict` refused, with both sides' version, cluster and profile; `timed_out`. After a
  /// success `on_disconnected` is called once, on the RPC thread, unless the last handle is given up before.
  static void connect(RpcThread& thread, DialOptions options, std::function<void(Error)> on_disconnected,
                      Reply<CoordinatorClient> reply);

  // ── nodes ──
  void register_node(NodeInfo info, std::vector<HeldEpoch> held, NodeHandler& handler, Deadline deadline,
                     Reply<Registration> reply) const;
  /// `not_found`: the coordinator does not know this connection; register.
  void heartbeat(const NodeLoad& load, Deadline deadline, Reply<void> reply) const;
  void epoch_activated(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation, Deadline deadline,
                       Reply<void> reply) const;
  void epoch_broken(ReplicaId replica, Epoch epoch, std::string reason, Deadline deadline, Reply<void> reply) const;
  void copy_damaged(ReplicaId replica, Epoch epoch, std::string reason, Deadline deadline, Reply<void> reply) const;
  void report_metrics(std::vector<ReplicaMetrics> metrics, Deadline deadline, Reply<void> reply) const;

  // ── clients ──
  void status(Deadline deadline, Reply<ClusterStatus> reply) const;
  /// `progress` is called on the RPC thread, only before the answer; it may be empty.
  void deploy(DeploySpec spec, Deadline deadline, std::function<void(DeploymentStatus)> progress,
              Reply<DeploymentStatus> reply) const;
  void undeploy(std::string deployment, Deadline deadline, Reply<void> reply) const;
  void drain(std::string node, Deadline deadline, Reply<void> reply) const;
  void stop_node(std::string node, Deadline deadline, Reply<void> reply) const;
  void create_token(JoinGrant grant, std::chrono::seconds lifetime, Deadline deadline, Reply<std::string> reply) const;
  void locate(std::string deployment, Deadline deadline, Reply<std::vector<ConductorLocation>> reply) const;
  void submit_job(JobSpec spec, Deadline deadline, Reply<JobRecord> reply) const;
  void list_jobs(Deadline deadline, Reply<std::vector<JobRecord>> reply) const;
  /// As deploy(); a watch that times out is simply repeated.
  void watch_job(JobId job, bool attach, Deadline deadline, std::function<void(JobRecord)> progress,
                 Reply<JobRecord> reply) const;
  void cancel_job(JobId job, Deadline deadline, Reply<JobRecord> reply) const;
  void report_job(JobId job, std::uint32_t attempt, Result<std::string> result, Deadline deadline,
                  Reply<JobRecord> reply) const;
  void read_log(LogQuery query, Deadline deadline, Reply<std::vector<LogLine>> reply) const;

  /// What the server said in the handshake.
  const ProtocolFacts& server() const;

  struct Handle;  ///< cluster/rpc only
  explicit CoordinatorClient(std::shared_ptr<const Handle> handle) : handle_(std::move(handle)) {}

 private:
  std::shared_ptr<const Handle> handle_;
};

}  // namespace tessera
