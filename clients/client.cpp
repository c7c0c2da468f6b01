#include <algorithm>
#include <utility>

#include <tessera/client.hpp>

#include "clients/client_state.hpp"

namespace tessera::frontend {

Result<ClusterStatus> ask_status(ClientCore& core) {
  return core.call<ClusterStatus>(core.options().call_deadline,
                                  [](const CoordinatorClient& client, auto left, Reply<ClusterStatus> reply) {
                                    client.status(left, std::move(reply));
                                  });
}

const DeploymentStatus* find_deployment(const ClusterStatus& status, const std::string& name) {
  const auto found = std::find_if(status.deployments.begin(), status.deployments.end(),
                                  [&](const DeploymentStatus& each) { return each.spec.name == name; });
  return found == status.deployments.end() ? nullptr : &*found;
}

}  // namespace tessera::frontend

namespace tessera::client {

namespace {

using frontend::ask_status;
using frontend::ClientCore;
using frontend::find_deployment;
using frontend::publish;
using frontend::publish_value;
using frontend::to_public;

/// It serves, and nothing will change that by itself: every replica serves, waits for workers or has failed.
bool settled(const tessera::DeploymentStatus& deployment) {
  const auto still = [](const tessera::ReplicaStatus& replica) {
    return replica.serves || replica.state == ReplicaState::waiting || replica.state == ReplicaState::failed;
  };
  return deployment.serves() && still(deployment.replica) && std::ranges::all_of(deployment.others, still);
}

/// Loads change with every heartbeat, also where nothing happens.
bool same(const ClusterStatus& one, const ClusterStatus& other) {
  const auto still = [](ClusterStatus status) {
    for (NodeStatus& node : status.nodes) node.since_beat = {};
    return status;
  };
  return still(one) == still(other);
}

}  // namespace

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::connect(const Options& options) {
  auto core = ClientCore::create(options);
  if (!core) return to_public(core.error());
  if (const auto connected = (*core)->connect(options.connect_deadline); !connected)
    return to_public(connected.error());
  return Client(std::make_unique<State>(State{*std::move(core)}));
}

Result<ClusterStatus> Client::status() { return publish_value(ask_status(*state_->core)); }

Result<void> Client::watch_status(const std::function<bool(const ClusterStatus&)>& changed,
                                  std::chrono::milliseconds interval) {
  std::optional<ClusterStatus> last;
  for (;;) {
    auto now = status();
    if (!now) return now.error();
    if (!last || !same(*last, *now)) {
      if (!changed(*now)) return {};
      last = *std::move(now);
    }
    if (const auto paused = state_->core->pause(interval); !paused) return publish(paused);
  }
}

Result<std::vector<DeploymentStatus>> Client::list() {
  auto now = status();
  if (!now) return now.error();
  return std::move(now->deployments);
}

Result<DeploymentStatus> Client::deploy(const DeployRequest& request,
                                        const std::function<bool(const DeploymentStatus&)>& progress) {
  ClientCore& core = *state_->core;
  const TimePoint deadline = core.now() + core.options().deploy_deadline;
  DeploySpec spec = frontend::to_spec(request);
  if (spec.idempotency_key.empty()) spec.idempotency_key = core.draw_key();
  const auto told = [&](const tessera::DeploymentStatus& status) { return !progress || progress(to_public(status)); };
  const auto answer = core.wait<tessera::DeploymentStatus, tessera::DeploymentStatus>(
      [&core, spec](Reply<tessera::DeploymentStatus> reply, std::function<void(tessera::DeploymentStatus)> tell) {
        core.link().call<tessera::DeploymentStatus>(
            core.options().deploy_deadline,
            [spec, tell = std::move(tell)](const CoordinatorClient& client, auto left, auto answered) {
              client.deploy(spec, left, tell, std::move(answered));
            },
            std::move(reply));
      },
      told);
  if (!answer) return to_public(answer.error());
  // Accepted; now until it serves.
  tessera::DeploymentStatus now = *answer;
  while (!settled(now)) {
    const std::string message = now.least_settled().message;
    if (!now.serves() && now.least_settled().state == ReplicaState::failed)
      return Error{ErrorCode::corrupt, "deployment " + request.name + " has failed: " + message};
    if (!told(now)) return Error{ErrorCode::cancelled, "stopped; the deployment " + request.name + " goes on"};
    if (core.now() >= deadline) {
      return Error{ErrorCode::timed_out, "deployment " + request.name + " does not serve yet" +
                                             (message.empty() ? "" : " (" + message + ")") +
                                             "; it stays, and goes on trying: see tessera status"};
    }
    if (const auto paused = core.pause(frontend::status_poll_interval); !paused) return to_public(paused.error());
    const auto status = ask_status(core);
    if (!status) return to_public(status.error());
    const auto* const found = find_deployment(*status, request.name);
    if (!found) return Error{ErrorCode::not_found, "deployment " + request.name + " was removed before it served"};
    now = *found;
  }
  return to_public(now);
}

Result<void> Client::undeploy(const std::string& deployment) {
  ClientCore& core = *state_->core;
  // Asked again after a lost answer, there may be nothing left to do.
  const auto asked = std::make_shared<std::uint32_t>(0);
  const auto done = core.call<void>(core.options().call_deadline,
                                    [deployment, asked](const CoordinatorClient& client, auto left, Reply<void> reply) {
                                      ++*asked;
                                      client.undeploy(deployment, left, std::move(reply));
                                    });
  if (!done && done.error().code == tessera::ErrorCode::not_found && *asked > 1) return {};
  return publish(done);
}

Result<void> Client::drain(const std::string& node, const std::function<bool(const NodeStatus&)>& progress) {
  ClientCore& core = *state_->core;
  const bool watched = static_cast<bool>(progress);
  return publish(core.wait<void, tessera::ClusterStatus>(
      [&core, node, watched](Reply<void> reply, std::function<void(tessera::ClusterStatus)> tell) {
        const auto open = std::make_shared<bool>(true);
        core.link().call<void>(
            core.options().deploy_deadline,
            [node](const CoordinatorClient& client, auto left, Reply<void> answered) {
              client.drain(node, left, std::move(answered));
            },
            [open, reply = std::move(reply)](tessera::Result<void> result) mutable {
              *open = false;
              reply(std::move(result));
            });
        if (watched) core.poll_status(open, std::move(tell));
      },
      [&](const tessera::ClusterStatus& status) {
        for (const NodeStatus& each : to_public(status).nodes) {
          if (each.name == node) return progress(each);
        }
        return true;
      }));
}

Result<void> Client::logs(const std::string& node, std::uint32_t lines, bool follow,
                          const std::function<bool(const std::string&)>& on_line) {
  ClientCore& core = *state_->core;
  LogQuery query;
  query.node = node;
  query.lines = lines;
  constexpr std::chrono::milliseconds follow_wait{5000};
  bool began = false;
  for (;;) {
    // A node without lines answers at once with none; only who follows waits.
    const auto read = core.call<std::vector<LogLine>>(
        core.options().call_deadline + query.wait,
        [query](const CoordinatorClient& client, auto left, Reply<std::vector<LogLine>> reply) {
          client.read_log(query, left, std::move(reply));
        });
    if (!read) {
      // The node is being started again, or the coordinator is: who follows waits for them.
      const bool passes =
          read.error().code == tessera::ErrorCode::unavailable || read.error().code == tessera::ErrorCode::timed_out;
      if (!began || !passes) return to_public(read.error());
      if (const auto paused = core.pause(frontend::status_poll_interval); !paused) return publish(paused);
      continue;
    }
    began = true;
    for (const LogLine& line : *read) {
      query.after = line.life == query.life ? std::max(query.after, line.number) : line.number;
      query.life = line.life;
      if (!on_line(line.text)) return {};
    }
    if (!follow) return {};
    query.lines = frontend::log_lines_per_call;
    query.wait = follow_wait;
  }
}

Result<std::string> Client::create_token(const JoinTokenRequest& request) {
  ClientCore& core = *state_->core;
  JoinGrant grant;
  const auto role = parse_role(request.role);
  if (!role) return to_public(role.error());
  grant.role = *role;
  grant.name = request.node;
  return publish(core.call<std::string>(
      core.options().call_deadline,
      [grant, lifetime = request.lifetime](const CoordinatorClient& client, auto left, Reply<std::string> reply) {
        client.create_token(grant, lifetime, left, std::move(reply));
      }));
}

}  // namespace tessera::client
