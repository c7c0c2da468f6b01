#include "cluster/rpc/coordinator_client.hpp"

#include <utility>

#include "cluster/rpc/client_connection.hpp"
#include "cluster/rpc/node_server.hpp"

namespace tessera {

struct CoordinatorClient::Handle {
  ClientHandlePtr connection;
};

namespace {

/// A long call's callback, as a capability for the server.
class ProgressServer final : public schema::Progress::Server {
 public:
  std::function<void(DeploymentStatus)> on_deployment;
  std::function<void(JobRecord)> on_job;

  kj::Promise<void> deployment(DeploymentContext context) override {
    if (on_deployment) on_deployment(wire::read(context.getParams().getStatus()));
    return kj::READY_NOW;
  }
  kj::Promise<void> job(JobContext context) override {
    if (on_job) on_job(wire::read(context.getParams().getRecord()));
    return kj::READY_NOW;
  }
};

struct DecodeJob {
  template <typename Results>
  Result<JobRecord> operator()(Results& results) const {
    return wire::read(results.getJob());
  }
};

}  // namespace

void CoordinatorClient::connect(RpcThread& thread, DialOptions options, std::function<void(Error)> on_disconnected,
                                Reply<CoordinatorClient> reply) {
  ClientConnection::connect(thread, std::move(options), schema::Service::COORDINATOR, std::move(on_disconnected),
                            [reply = std::move(reply)](Result<ClientHandlePtr> result) mutable {
                              if (!result) return reply(result.error());
                              reply(CoordinatorClient(std::make_shared<const Handle>(Handle{std::move(*result)})));
                            });
}

const ProtocolFacts& CoordinatorClient::server() const { return handle_->connection->server; }

void CoordinatorClient::register_node(NodeInfo info, std::vector<HeldEpoch> held, NodeHandler& handler,
                                      Deadline deadline, Reply<Registration> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [info = std::move(info), held = std::move(held), &handler](ClientConnection& connection) {
        auto request = connection.registry().registerRequest();
        wire::write(request.initInfo(), info);
        wire::write_list(request.initHeld(wire::length(held.size())), held);
        request.setNode(make_node(connection.loop(), handler));
        return request;
      },
      [](auto& results) -> Result<Registration> {
        return Registration{NodeId{results.getNode()}, Term{results.getTerm()},
                            std::chrono::milliseconds(results.getHeartbeatMs())};
      });
}

void CoordinatorClient::heartbeat(const NodeLoad& load, Deadline deadline, Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [load](ClientConnection& connection) {
        auto request = connection.registry().heartbeatRequest();
        wire::write(request.initLoad(), load);
        return request;
      },
      DecodeNothing());
}

void CoordinatorClient::epoch_activated(ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation,
                                        Deadline deadline, Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [=](ClientConnection& connection) {
        auto request = connection.registry().epochActivatedRequest();
        request.setReplica(replica.value);
        request.setEpoch(epoch.value);
        request.setIncarnation(incarnation.value);
        return request;
      },
      DecodeNothing());
}

void CoordinatorClient::epoch_broken(ReplicaId replica, Epoch epoch, std::string reason, Deadline deadline,
                                     Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [=, reason = std::move(reason)](ClientConnection& connection) {
        auto request = connection.registry().epochBrokenRequest();
        request.setReplica(replica.value);
        request.setEpoch(epoch.value);
        request.setReason(wire::text(reason));
        return request;
      },
      DecodeNothing());
}

void CoordinatorClient::copy_damaged(ReplicaId replica, Epoch epoch, std::string reason, Deadline deadline,
                                     Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [=, reason = std::move(reason)](ClientConnection& connection) {
        auto request = connection.registry().copyDamagedRequest();
        request.setReplica(replica.value);
        request.setEpoch(epoch.value);
        request.setReason(wire::text(reason));
        return request;
      },
      DecodeNothing());
}

void CoordinatorClient::report_metrics(std::vector<ReplicaMetrics> metrics, Deadline deadline,
                                       Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [metrics = std::move(metrics)](ClientConnection& connection) {
        auto request = connection.registry().reportMetricsRequest();
        wire::write_list(request.initMetrics(wire::length(metrics.size())), metrics);
        return request;
      },
      DecodeNothing());
}

void CoordinatorClient::status(Deadline deadline, Reply<ClusterStatus> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [](ClientConnection& connection) { return connection.cluster().statusRequest(); },
      [](auto& results) -> Result<ClusterStatus> { return wire::read(results.getStatus()); });
}

void CoordinatorClient::deploy(DeploySpec spec, Deadline deadline, std::function<void(DeploymentStatus)> progress,
                               Reply<DeploymentStatus> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [spec = std::move(spec), progress = std::move(progress)](ClientConnection& connection) mutable {
        auto request = connection.cluster().deployRequest();
        wire::write(request.initSpec(), spec);
        auto server = kj::heap<ProgressServer>();
        server->on_deployment = std::move(progress);
        request.setProgress(kj::mv(server));
        return request;
      },
      [](auto& results) -> Result<DeploymentStatus> { return wire::read(results.getDeployment()); });
}

void CoordinatorClient::undeploy(std::string deployment, Deadline deadline, Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [deployment = std::move(deployment)](ClientConnection& connection) {
        auto request = connection.cluster().undeployRequest();
        request.setName(wire::text(deployment));
        return request;
      },
      DecodeNothing());
}

void CoordinatorClient::drain(std::string node, Deadline deadline, Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [node = std::move(node)](ClientConnection& connection) {
        auto request = connection.cluster().drainRequest();
        request.setNode(wire::text(node));
        return request;
      },
      DecodeNothing());
}

void CoordinatorClient::stop_node(std::string node, Deadline deadline, Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [node = std::move(node)](ClientConnection& connection) {
        auto request = connection.cluster().stopNodeRequest();
        request.setNode(wire::text(node));
        return request;
      },
      DecodeNothing());
}

void CoordinatorClient::create_token(JoinGrant grant, std::chrono::seconds lifetime, Deadline deadline,
                                     Reply<std::string> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [grant = std::move(grant), lifetime](ClientConnection& connection) {
        auto request = connection.cluster().createTokenRequest();
        request.setRole(to_string(grant.role));
        request.setName(wire::text(grant.name));
        request.setLifetimeSeconds(static_cast<std::uint64_t>(std::max<std::int64_t>(lifetime.count(), 0)));
        return request;
      },
      [](auto& results) -> Result<std::string> { return wire::read(results.getToken()); });
}

void CoordinatorClient::locate(std::string deployment, Deadline deadline,
                               Reply<std::vector<ConductorLocation>> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [deployment = std::move(deployment)](ClientConnection& connection) {
        auto request = connection.cluster().locateRequest();
        request.setDeployment(wire::text(deployment));
        return request;
      },
      [](auto& results) -> Result<std::vector<ConductorLocation>> {
        std::vector<ConductorLocation> locations{wire::read(results.getLocation())};
        for (ConductorLocation& other : wire::read_list(results.getOthers())) locations.push_back(std::move(other));
        return locations;
      });
}

void CoordinatorClient::submit_job(JobSpec spec, Deadline deadline, Reply<JobRecord> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [spec = std::move(spec)](ClientConnection& connection) {
        auto request = connection.cluster().submitJobRequest();
        wire::write(request.initSpec(), spec);
        return request;
      },
      DecodeJob());
}

void CoordinatorClient::list_jobs(Deadline deadline, Reply<std::vector<JobRecord>> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [](ClientConnection& connection) { return connection.cluster().listJobsRequest(); },
      [](auto& results) -> Result<std::vector<JobRecord>> { return wire::read_list(results.getJobs()); });
}

void CoordinatorClient::watch_job(JobId job, bool attach, Deadline deadline, std::function<void(JobRecord)> progress,
                                  Reply<JobRecord> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [job, attach, progress = std::move(progress)](ClientConnection& connection) mutable {
        auto request = connection.cluster().watchJobRequest();
        request.setJob(job.value);
        request.setAttach(attach);
        auto server = kj::heap<ProgressServer>();
        server->on_job = std::move(progress);
        request.setProgress(kj::mv(server));
        return request;
      },
      DecodeJob());
}

void CoordinatorClient::cancel_job(JobId job, Deadline deadline, Reply<JobRecord> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [job](ClientConnection& connection) {
        auto request = connection.cluster().cancelJobRequest();
        request.setJob(job.value);
        return request;
      },
      DecodeJob());
}

void CoordinatorClient::report_job(JobId job, std::uint32_t attempt, Result<std::string> result, Deadline deadline,
                                   Reply<JobRecord> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [job, attempt, result = std::move(result)](ClientConnection& connection) {
        auto request = connection.cluster().reportJobRequest();
        request.setJob(job.value);
        request.setAttempt(attempt);
        if (result) {
          request.setResult(wire::bytes(*result));
        } else {
          wire::write(request.initError(), result.error());
        }
        return request;
      },
      DecodeJob());
}

void CoordinatorClient::read_log(LogQuery query, Deadline deadline, Reply<std::vector<LogLine>> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [query = std::move(query)](ClientConnection& connection) {
        auto request = connection.cluster().readLogRequest();
        wire::write(request.initQuery(), query);
        return request;
      },
      [](auto& results) -> Result<std::vector<LogLine>> { return wire::read_list(results.getLines()); });
}

}  // namespace tessera
