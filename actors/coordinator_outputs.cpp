// What the core decided, carried out.
#include <utility>

#include <caf/send.hpp>

#include "actors/coordinator_state.hpp"
#include "cluster/auth/secret.hpp"
#include "runtime/base/log.hpp"

namespace tessera {

namespace {

/// One key per pair of participants, the same at both ends.
std::vector<EpochKeys> draw_keys(std::size_t participants) {
  std::vector<EpochKeys> keys(participants);
  for (EpochKeys& own : keys) own.keys.resize(participants);
  for (std::size_t a = 0; a < participants; ++a) {
    for (std::size_t b = a + 1; b < participants; ++b) {
      random_bytes(keys[a].keys[b]);
      keys[b].keys[a] = keys[a].keys[b];
    }
  }
  return keys;
}

}  // namespace

template <typename T>
std::optional<T> CoordinatorActorState::take_pending(RequestToken token) {
  const auto found = pending_.find(token);
  if (found == pending_.end()) return std::nullopt;
  T reply = std::get<T>(std::move(found->second));
  pending_.erase(found);
  return reply;
}

Reply<void> CoordinatorActorState::broken_if_refused(ConnectionId from, ReplicaId replica, Epoch epoch) {
  const caf::actor self = caf::actor_cast<caf::actor>(self_);
  return Reply<void>([self, from, replica, epoch](Result<void> result) {
    if (result) return;
    caf::anon_send(self, CoordinatorEvent{EpochBroken{from, replica, epoch, result.error().message}});
  });
}

void CoordinatorActorState::carry_out(RegistrationAnswered& output) {
  const auto found = registrations_.find(output.to);
  if (found == registrations_.end()) return;
  (*found->second)(std::move(output.result));
  registrations_.erase(found);
}

void CoordinatorActorState::carry_out(PrepareEpoch& output) {
  const std::vector<EpochKeys> keys = draw_keys(output.plan.participants.size());
  const caf::actor self = caf::actor_cast<caf::actor>(self_);
  const auto deadline =
      std::chrono::duration_cast<std::chrono::milliseconds>(parts_.options.prepare_timeout_of(output.plan));
  for (std::size_t i = 0; i < output.to.size(); ++i) {
    const ConnectionId to = output.to[i];
    const auto answer = [self, to, replica = output.plan.replica, epoch = output.plan.epoch](Result<void> result) {
      caf::anon_send(self, CoordinatorEvent{EpochPrepared{to, replica, epoch, std::move(result)}});
    };
    if (NodeProxy* const node = proxy(to)) {
      node->prepare(output.plan, keys[i], deadline, answer);
    } else {
      answer(Error{ErrorCode::unavailable, "the node's connection is closed"});
    }
  }
}

void CoordinatorActorState::carry_out(const ActivateEpoch& output) {
  Reply<void> reply = broken_if_refused(output.to, output.replica, output.epoch);
  if (NodeProxy* const node = proxy(output.to)) {
    node->activate(output.term, output.replica, output.epoch, output.incarnation, parts_.request_deadline,
                   std::move(reply));
  }
}

void CoordinatorActorState::carry_out(const HandOver& output) {
  Reply<void> reply = broken_if_refused(output.to, output.replica, output.into);
  if (NodeProxy* const node = proxy(output.to)) {
    node->hand_over(output.term, output.replica, output.from, output.into, output.incarnation, parts_.request_deadline,
                    std::move(reply));
  }
}

void CoordinatorActorState::carry_out(const RetireEpoch& output) {
  NodeProxy* const node = proxy(output.to);
  if (node == nullptr) return;
  node->retire(output.term, output.replica, output.epoch, parts_.request_deadline, [](Result<void> result) {
    if (!result)
      log_warning("a node did not take a retire, and is told again when it registers: " + result.error().message);
  });
}

void CoordinatorActorState::carry_out(const DropNode& output) {
  if (NodeProxy* const node = proxy(output.to)) node->drop(output.reason, output.again);
  nodes_.erase(output.to);
  registrations_.erase(output.to);
}

void CoordinatorActorState::carry_out(const RunJob& output) {
  NodeProxy* const node = proxy(output.to);
  if (node == nullptr) return;
  node->run_job(
      output.job, output.attempt, output.spec, parts_.request_deadline,
      [self = caf::actor_cast<caf::actor>(self_), job = output.job, attempt = output.attempt](Result<void> result) {
        if (result || result.error().code == ErrorCode::timed_out || result.error().code == ErrorCode::unavailable)
          return;
        caf::anon_send(self, AskJobReport{job, attempt, result.error(), box(Reply<JobRecord>())});
      });
}

void CoordinatorActorState::carry_out(const StopJob& output) {
  if (NodeProxy* const node = proxy(output.to))
    node->stop_job(output.job, output.attempt, parts_.request_deadline, Reply<void>());
}

void CoordinatorActorState::carry_out(DeployAnswered& output) {
  auto request = take_pending<AskDeploy>(output.token);
  if (!request) return;
  if (!output.result) {
    (*request->reply)(output.result.error());
    return;
  }
  deploy_waiters_.push_back({request->spec.name, request->progress, request->reply});
  tell_deploy_waiters();
}

void CoordinatorActorState::carry_out(const Answered& output) {
  if (auto reply = take_pending<ReplyBox<void>>(output.token)) (**reply)(output.result);
}

void CoordinatorActorState::carry_out(JobAnswered& output) {
  auto reply = take_pending<ReplyBox<JobRecord>>(output.token);
  if (reply && **reply) (**reply)(std::move(output.result));
}

void CoordinatorActorState::carry_out(const JobChanged& output) { tell_job_watchers(output.job); }

void CoordinatorActorState::carry_out(const Event& output) {
  if (output.level == EventLevel::warning) {
    log_warning(output.text);
  } else {
    log_info(output.text);
  }
}

void CoordinatorActorState::tell_deploy_waiters() {
  for (std::size_t i = 0; i < deploy_waiters_.size();) {
    DeployWaiter& waiter = deploy_waiters_[i];
    Result<DeploymentStatus> status = core_->deployment(waiter.name);
    const bool through = !status || status->replica.serves || status->replica.state == ReplicaState::failed;
    if (!through && !(waiter.told && status->replica.state == waiter.last_state)) {
      waiter.told = true;
      waiter.last_state = status->replica.state;
      waiter.progress.send(*status);
    }
    if (!through) {
      ++i;
      continue;
    }
    const ReplyBox<DeploymentStatus> reply = waiter.reply;
    deploy_waiters_.erase(deploy_waiters_.begin() + static_cast<std::ptrdiff_t>(i));
    (*reply)(std::move(status));
  }
}

void CoordinatorActorState::tell_job_watchers(const JobRecord& job) {
  for (std::size_t i = 0; i < job_watchers_.size();) {
    JobWatcher& watcher = job_watchers_[i];
    if (watcher.job != job.job) {
      ++i;
      continue;
    }
    watcher.progress.send(job);
    if (!ended(job.state)) {
      ++i;
      continue;
    }
    const ReplyBox<JobRecord> reply = watcher.reply;
    job_watchers_.erase(job_watchers_.begin() + static_cast<std::ptrdiff_t>(i));
    (*reply)(job);
  }
}

}  // namespace tessera
