// Cluster: what clients ask of the coordinator.
#include <algorithm>
#include <utility>

#include "cluster/rpc/progress.hpp"
#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/session.hpp"

namespace tessera {
namespace {

struct SendDeployment {
  auto operator()(schema::Progress::Client& client, const DeploymentStatus& status) const {
    auto request = client.deploymentRequest();
    wire::write(request.initStatus(), status);
    return request;
  }
};

struct SendJob {
  auto operator()(schema::Progress::Client& client, const JobRecord& record) const {
    auto request = client.jobRequest();
    wire::write(request.initRecord(), record);
    return request;
  }
};

struct FillJob {
  template <typename Results>
  void operator()(Results results, const JobRecord& record) const {
    wire::write(results.initJob(), record);
  }
};

struct FillLines {
  template <typename Results>
  void operator()(Results results, const std::vector<LogLine>& lines) const {
    wire::write_lines(results, lines);
  }
};

/// What a list shows of a job.
JobRecord listed(JobRecord record) {
  record.spec.input.clear();
  record.result.resize(std::min(record.result.size(), rpc_limits::listed_result_bytes_max));
  return record;
}

class ClusterServer final : public schema::Cluster::Server, private SessionServer {
 public:
  using SessionServer::SessionServer;

  kj::Promise<void> status(StatusContext context) override {
    return serve_coordinator<ClusterStatus>(
        RpcMethod::status, context,
        [](auto& handler, auto& caller, auto, Reply<ClusterStatus> reply) { handler.status(caller, std::move(reply)); },
        [](auto results, const ClusterStatus& status) { wire::write(results.initStatus(), status); });
  }

  kj::Promise<void> deploy(DeployContext context) override {
    auto progress =
        make_progress<DeploymentStatus>(loop_, session_, context.getParams().getProgress(), SendDeployment());
    return serve_coordinator<DeploymentStatus>(
               RpcMethod::deploy, context,
               [&](auto& handler, auto& caller, auto params, Reply<DeploymentStatus> reply) {
                 handler.deploy(caller, wire::read(params.getSpec()), progress.sink, std::move(reply));
               },
               [](auto results, const DeploymentStatus& status) { wire::write(results.initDeployment(), status); })
        .attach(kj::mv(progress.guard));
  }

  kj::Promise<void> undeploy(UndeployContext context) override {
    return serve_coordinator<void>(
        RpcMethod::undeploy, context,
        [](auto& handler, auto& caller, auto params, Reply<void> reply) {
          handler.undeploy(caller, wire::read(params.getName()), std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> drain(DrainContext context) override {
    return serve_coordinator<void>(
        RpcMethod::drain, context,
        [](auto& handler, auto& caller, auto params, Reply<void> reply) {
          handler.drain(caller, wire::read(params.getNode()), std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> stopNode(StopNodeContext context) override {
    return serve_coordinator<void>(
        RpcMethod::stop_node, context,
        [](auto& handler, auto& caller, auto params, Reply<void> reply) {
          handler.stop_node(caller, wire::read(params.getNode()), std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> createToken(CreateTokenContext context) override {
    return serve_coordinator<std::string>(
        RpcMethod::create_token, context,
        [](auto& handler, auto& caller, auto params, Reply<std::string> reply) {
          const auto role = parse_role(wire::read(params.getRole()));
          if (!role) return reply(role.error());
          constexpr std::uint64_t longest = std::chrono::seconds(std::chrono::days(3650)).count();
          const std::chrono::seconds lifetime(std::min(params.getLifetimeSeconds(), longest));
          handler.create_token(caller, {*role, wire::read(params.getName())}, lifetime, std::move(reply));
        },
        [](auto results, const std::string& token) { results.setToken(wire::text(token)); });
  }

  kj::Promise<void> locate(LocateContext context) override {
    return serve_coordinator<std::vector<ConductorLocation>>(
        RpcMethod::locate, context,
        [](auto& handler, auto& caller, auto params, Reply<std::vector<ConductorLocation>> reply) {
          handler.locate(caller, wire::read(params.getDeployment()), std::move(reply));
        },
        [](auto results, const std::vector<ConductorLocation>& locations) {
          wire::write(results.initLocation(), locations.at(0));
          const std::vector<ConductorLocation> others(locations.begin() + 1, locations.end());
          wire::write_list(results.initOthers(wire::length(others.size())), others);
        });
  }

  kj::Promise<void> submitJob(SubmitJobContext context) override {
    return serve_coordinator<JobRecord>(
        RpcMethod::submit_job, context,
        [](auto& handler, auto& caller, auto params, Reply<JobRecord> reply) {
          JobSpec spec = wire::read(params.getSpec());
          spec.client = caller.identity.name;
          handler.submit_job(caller, std::move(spec), std::move(reply));
        },
        FillJob());
  }

  kj::Promise<void> listJobs(ListJobsContext context) override {
    return serve_coordinator<std::vector<JobRecord>>(
        RpcMethod::list_jobs, context,
        [](auto& handler, auto& caller, auto, Reply<std::vector<JobRecord>> reply) {
          handler.list_jobs(caller, std::move(reply));
        },
        [](auto results, const std::vector<JobRecord>& jobs) {
          auto list = results.initJobs(wire::length(jobs.size()));
          for (unsigned i = 0; i < list.size(); ++i) wire::write(list[i], listed(jobs[i]));
        });
  }

  kj::Promise<void> watchJob(WatchJobContext context) override {
    auto progress = make_progress<JobRecord>(loop_, session_, context.getParams().getProgress(), SendJob());
    return serve_coordinator<JobRecord>(
               RpcMethod::watch_job, context,
               [&](auto& handler, auto& caller, auto params, Reply<JobRecord> reply) {
                 handler.watch_job(caller, {params.getJob()}, params.getAttach(), progress.sink, std::move(reply));
               },
               FillJob())
        .attach(kj::mv(progress.guard));
  }

  kj::Promise<void> cancelJob(CancelJobContext context) override {
    return serve_coordinator<JobRecord>(
        RpcMethod::cancel_job, context,
        [](auto& handler, auto& caller, auto params, Reply<JobRecord> reply) {
          handler.cancel_job(caller, {params.getJob()}, std::move(reply));
        },
        FillJob());
  }

  kj::Promise<void> reportJob(ReportJobContext context) override {
    return serve_coordinator<JobRecord>(
        RpcMethod::report_job, context,
        [](auto& handler, auto& caller, auto params, Reply<JobRecord> reply) {
          Result<std::string> result = wire::read(params.getResult());
          if (params.hasError()) result = wire::read(params.getError());
          handler.report_job(caller, {params.getJob()}, params.getAttempt(), std::move(result), std::move(reply));
        },
        FillJob());
  }

  kj::Promise<void> readLog(ReadLogContext context) override {
    return serve_coordinator<std::vector<LogLine>>(
        RpcMethod::read_log, context,
        [](auto& handler, auto& caller, auto params, Reply<std::vector<LogLine>> reply) {
          handler.read_log(caller, wire::read(params.getQuery()), std::move(reply));
        },
        FillLines());
  }
};

}  // namespace

kj::Own<schema::Cluster::Server> make_cluster(RpcLoop& loop, std::uint64_t session) {
  return kj::heap<ClusterServer>(loop, session);
}

}  // namespace tessera
