// What clients ask of the coordinator.
#include <algorithm>
#include <chrono>
#include <utility>

#include <caf/send.hpp>

#include "actors/coordinator_state.hpp"
#include "cluster/auth/join_token_book.hpp"
#include "cluster/rpc/rpc_limits.hpp"
#include "runtime/base/log.hpp"

namespace tessera {

namespace {

/// For certificates, tokens and people; nothing is measured with it.
std::chrono::sys_seconds wall_clock() { return SystemWallClock().now(); }

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(wall_clock().time_since_epoch()).count();
}

Error busy() { return Error{ErrorCode::exhausted, "the coordinator has too much to do; try again"}; }

}  // namespace

void CoordinatorActorState::status(const AskStatus& message) { (*message.reply)(core_->status(parts_.clock->now())); }

void CoordinatorActorState::locate(const AskLocation& message) { (*message.reply)(core_->locate(message.deployment)); }

void CoordinatorActorState::deploy(const AskDeploy& message) {
  if (refused_by_store(message.reply)) return;
  const caf::actor self = caf::actor_cast<caf::actor>(self_);
  const bool posted = parts_.blocking->post([read = parts_.read_facts, self, message] {
    caf::anon_send(self, DeployFacts{message, read(message.spec)});
  });
  if (!posted) (*message.reply)(busy());
}

void CoordinatorActorState::deploy_facts(const DeployFacts& message) {
  if (!message.facts) {
    (*message.request.reply)(message.facts.error());
    return;
  }
  step(DeployRequested{pending(message.request), message.request.spec, *message.facts});
}

void CoordinatorActorState::undeploy(const AskUndeploy& message) {
  if (refused_by_store(message.reply)) return;
  step(UndeployRequested{pending(message.reply), message.deployment});
}

void CoordinatorActorState::drain(const AskDrain& message) {
  if (refused_by_store(message.reply)) return;
  step(DrainRequested{pending(message.reply), message.node});
}

void CoordinatorActorState::stop_node(const AskStop& message) {
  const ClusterStatus now = core_->status(parts_.clock->now());
  bool found = message.node.empty();
  for (const auto& [connection, node] : nodes_) {
    const auto id = core_->node_of(connection);
    const auto known = std::find_if(now.nodes.begin(), now.nodes.end(),
                                    [&](const NodeStatus& status) { return id && status.node == *id; });
    if (known == now.nodes.end() || (!message.node.empty() && known->info.name != message.node)) continue;
    found = true;
    node.drop("the operator stops this node", false);
  }
  if (!found) {
    (*message.reply)(
        Error{ErrorCode::not_found, "no node called '" + message.node + "' is connected (tessera status)"});
    return;
  }
  (*message.reply)({});
}

void CoordinatorActorState::create_token(const AskToken& message) {
  const bool posted =
      parts_.blocking->post([store = parts_.store, fingerprint = parts_.authority->fingerprint(), message] {
        (*message.reply)(JoinTokenBook(*store, fingerprint).create(message.grant, wall_clock(), message.lifetime));
      });
  if (!posted) (*message.reply)(busy());
}

void CoordinatorActorState::join(const AskJoin& message) {
  const bool posted = parts_.blocking->post([parts = parts_, message] {
    const auto admitted = [&]() -> Result<JoinAnswer> {
      TESSERA_TRY(const JoinToken token, parse_join_token(message.request.token));
      TESSERA_CHECK(check_name("node", message.request.name));
      TESSERA_TRY(const JoinGrant grant, JoinTokenBook(*parts.store, parts.authority->fingerprint())
                                             .consume(token, message.request.name, wall_clock()));
      const Identity identity{grant.role, message.request.name};
      TESSERA_TRY(auto certificate, parts.authority->sign(message.request.request_pem, identity, wall_clock()));
      return JoinAnswer{std::move(certificate), identity, parts.cluster, parts.identity, parts.rpc};
    };
    Result<JoinAnswer> answer = admitted();
    if (answer) {
      log_info(message.request.name + " joined the cluster from " + message.peer_address);
    } else {
      log_warning("a join from " + message.peer_address + " was refused: " + answer.error().message);
    }
    (*message.reply)(std::move(answer));
  });
  if (!posted) (*message.reply)(busy());
}

void CoordinatorActorState::read_log(const AskLog& message) {
  const ClusterStatus now = core_->status(parts_.clock->now());
  for (const NodeStatus& status : now.nodes) {
    if (status.info.name != message.query.node) continue;
    for (const auto& [connection, node] : nodes_) {
      if (core_->node_of(connection) != status.node) continue;
      const ReplyBox<std::vector<LogLine>> reply = message.reply;
      node.read_log(message.query, parts_.request_deadline + message.query.wait,
                    [reply](Result<std::vector<LogLine>> lines) { (*reply)(std::move(lines)); });
      return;
    }
    (*message.reply)(Error{ErrorCode::unavailable, "node '" + message.query.node +
                                                       "' is not connected; on its machine, its log is in the state "
                                                       "folder, logs/" +
                                                       message.query.node + ".log"});
    return;
  }
  (*message.reply)(Error{ErrorCode::not_found, "no node is called '" + message.query.node + "' (tessera status)"});
}

void CoordinatorActorState::submit_job(const AskJob& message) {
  if (refused_by_store(message.reply)) return;
  step(JobSubmitted{pending(message.reply), message.spec, unix_ms()});
}

void CoordinatorActorState::list_jobs(const AskJobs& message) { (*message.reply)(core_->jobs()); }

void CoordinatorActorState::watch_job(const AskJobWatch& message) {
  Result<JobRecord> job = core_->job(message.job);
  if (!job || ended(job->state)) {
    (*message.reply)(std::move(job));
    return;
  }
  if (message.attach) step(JobClientSeen{message.job});
  message.progress.send(*job);
  job_watchers_.push_back({message.job, message.attach, message.progress, message.reply});
}

void CoordinatorActorState::cancel_job(const AskJobCancel& message) {
  step(JobCancelRequested{pending(message.reply), message.job});
}

void CoordinatorActorState::report_job(const AskJobReport& message) {
  step(JobReported{pending(message.reply), message.job, message.attempt, message.result});
}

}  // namespace tessera
