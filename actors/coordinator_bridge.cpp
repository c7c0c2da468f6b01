// From RPC calls to messages of the Coordinator actor. On the RPC thread; keeps nothing.
#include <utility>

#include <caf/send.hpp>

#include "actors/coordinator.hpp"
#include "actors/messages.hpp"

namespace tessera {

namespace {

class CoordinatorBridge final : public CoordinatorHandler {
 public:
  explicit CoordinatorBridge(caf::actor coordinator) : coordinator_(std::move(coordinator)) {}

  void register_node(const Caller& caller, NodeInfo info, std::vector<HeldEpoch> held, NodeProxy node,
                     Reply<Registration> reply) override {
    // The certificate says who it is; a node may not pass for another one.
    if (info.name != caller.identity.name) {
      reply(Error{ErrorCode::denied, "the certificate of " + common_name(caller.identity) +
                                         " does not allow to register as '" + info.name + "'"});
      return;
    }
    caf::anon_send(coordinator_, RegisterNode{caller.connection, std::move(info), std::move(held), std::move(node),
                                              box(std::move(reply))});
  }
  void heartbeat(const Caller& caller, NodeLoad load, Reply<void> reply) override {
    caf::anon_send(coordinator_, Heartbeat{caller.connection, load, box(std::move(reply))});
  }
  void epoch_activated(const Caller& caller, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation,
                       Reply<void> reply) override {
    caf::anon_send(coordinator_, CoordinatorEvent{EpochActivated{caller.connection, replica, epoch, incarnation}});
    reply({});
  }
  void epoch_broken(const Caller& caller, ReplicaId replica, Epoch epoch, std::string reason,
                    Reply<void> reply) override {
    caf::anon_send(coordinator_, CoordinatorEvent{EpochBroken{caller.connection, replica, epoch, std::move(reason)}});
    reply({});
  }
  void copy_damaged(const Caller& caller, ReplicaId replica, Epoch epoch, std::string reason,
                    Reply<void> reply) override {
    caf::anon_send(coordinator_, CoordinatorEvent{CopyDamaged{caller.connection, replica, epoch, std::move(reason)}});
    reply({});
  }
  void report_metrics(const Caller& caller, std::vector<ReplicaMetrics> metrics, Reply<void> reply) override {
    for (const ReplicaMetrics& one : metrics)
      caf::anon_send(coordinator_, CoordinatorEvent{ReplicaMeasured{caller.connection, one}});
    reply({});
  }

  void status(const Caller&, Reply<ClusterStatus> reply) override {
    caf::anon_send(coordinator_, AskStatus{box(std::move(reply))});
  }
  void deploy(const Caller&, DeploySpec spec, ProgressSink<DeploymentStatus> progress,
              Reply<DeploymentStatus> reply) override {
    caf::anon_send(coordinator_, AskDeploy{std::move(spec), std::move(progress), box(std::move(reply))});
  }
  void undeploy(const Caller&, std::string deployment, Reply<void> reply) override {
    caf::anon_send(coordinator_, AskUndeploy{std::move(deployment), box(std::move(reply))});
  }
  void drain(const Caller&, std::string node, Reply<void> reply) override {
    caf::anon_send(coordinator_, AskDrain{std::move(node), box(std::move(reply))});
  }
  void stop_node(const Caller&, std::string node, Reply<void> reply) override {
    caf::anon_send(coordinator_, AskStop{std::move(node), box(std::move(reply))});
  }
  void create_token(const Caller&, JoinGrant grant, std::chrono::seconds lifetime, Reply<std::string> reply) override {
    caf::anon_send(coordinator_, AskToken{std::move(grant), lifetime, box(std::move(reply))});
  }
  void locate(const Caller&, std::string deployment, Reply<std::vector<ConductorLocation>> reply) override {
    caf::anon_send(coordinator_, AskLocation{std::move(deployment), box(std::move(reply))});
  }
  void submit_job(const Caller& caller, JobSpec spec, Reply<JobRecord> reply) override {
    spec.client = caller.identity.name;
    caf::anon_send(coordinator_, AskJob{std::move(spec), box(std::move(reply))});
  }
  void list_jobs(const Caller&, Reply<std::vector<JobRecord>> reply) override {
    caf::anon_send(coordinator_, AskJobs{box(std::move(reply))});
  }
  void watch_job(const Caller&, JobId job, bool attach, ProgressSink<JobRecord> progress,
                 Reply<JobRecord> reply) override {
    caf::anon_send(coordinator_, AskJobWatch{job, attach, std::move(progress), box(std::move(reply))});
  }
  void cancel_job(const Caller&, JobId job, Reply<JobRecord> reply) override {
    caf::anon_send(coordinator_, AskJobCancel{job, box(std::move(reply))});
  }
  void report_job(const Caller&, JobId job, std::uint32_t attempt, Result<std::string> result,
                  Reply<JobRecord> reply) override {
    caf::anon_send(coordinator_, AskJobReport{job, attempt, std::move(result), box(std::move(reply))});
  }
  void read_log(const Caller&, LogQuery query, Reply<std::vector<LogLine>> reply) override {
    caf::anon_send(coordinator_, AskLog{std::move(query), box(std::move(reply))});
  }
  void on_disconnected(const Caller& caller) override {
    caf::anon_send(coordinator_, CoordinatorEvent{NodeDisconnected{caller.connection}});
  }

 private:
  caf::actor coordinator_;
};

class JoinBridge final : public JoinHandler {
 public:
  explicit JoinBridge(caf::actor coordinator) : coordinator_(std::move(coordinator)) {}
  void join(std::string peer_address, JoinRequest request, Reply<JoinAnswer> reply) override {
    caf::anon_send(coordinator_, AskJoin{std::move(peer_address), std::move(request), box(std::move(reply))});
  }

 private:
  caf::actor coordinator_;
};

}  // namespace

std::unique_ptr<CoordinatorHandler> make_coordinator_bridge(caf::actor coordinator) {
  return std::make_unique<CoordinatorBridge>(std::move(coordinator));
}

std::unique_ptr<JoinHandler> make_join_bridge(caf::actor coordinator) {
  return std::make_unique<JoinBridge>(std::move(coordinator));
}

}  // namespace tessera
