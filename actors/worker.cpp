#include "actors/worker.hpp"

#include <utility>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/job_programs.hpp"
#include "actors/worker_state.hpp"
#include "runtime/base/log.hpp"

namespace tessera {

namespace {

/// An executor without any epoch is ended after so long.
constexpr double idle_seconds_max = 30;
/// A job's end that did not reach the coordinator is told again after so long.
constexpr std::chrono::seconds report_retry{1};

using Self = caf::stateful_actor<WorkerState>;

caf::behavior worker_behavior(Self* self, WorkerParts parts) {
  self->state.start(self, std::move(parts));
  caf::message_handler link{
      [self](const StartWorker& message) { self->state.begin(message); },
      [self](const DialCoordinator& message) { self->state.dial_again(message); },
      [self](const CoordinatorConnected& message) { self->state.connected(message); },
      [self](const CoordinatorRegistered& message) { self->state.registered(message); },
      [self](const CoordinatorLost& message) { self->state.lost(message); },
      [self](const CoordinatorDropped& message) { self->state.dropped(message); },
      [self](const LoadSampled& message) { self->state.beat(message); },
      [self](const MetricsTaken& message) { self->state.report_metrics(message); },
      [self](const HeartbeatAnswered& message) { self->state.beat_answered(message); },
  };
  caf::message_handler shards{
      [self](const PrepareShard& message) { self->state.prepare(message); },
      [self](const ActivateShard& message) { self->state.command(message); },
      [self](const HandOverShard& message) { self->state.command(message); },
      [self](const RetireShard& message) { self->state.command(message); },
      [self](const ShardActivated& message) { self->state.activated(message); },
      [self](const ShardBroken& message) { self->state.broken(message); },
      [self](const ShardDamaged& message) { self->state.damaged(message); },
  };
  caf::message_handler rest{
      [self](const OpenStream& message) { self->state.open_stream(message); },
      [self](const CancelStream& message) { self->state.cancel_stream(message); },
      [self](const FrontendGone& message) { self->state.frontend_gone(message); },
      [self](const ReadTokenizer& message) { self->state.read_tokenizer(message); },
      [self](const StartJob& message) { self->state.start_job(message); },
      [self](const StopJobAttempt& message) { self->state.stop_job(message); },
      [self](const JobAttemptEnded& message) { self->state.job_ended(message); },
      [self](const JobReportAnswered& message) { self->state.job_reported(message); },
  };
  return link.or_else(shards).or_else(rest);
}

}  // namespace

void WorkerState::start(caf::event_based_actor* self, WorkerParts parts) {
  self_ = self;
  parts_ = std::move(parts);
  const caf::actor own = caf::actor_cast<caf::actor>(self_);
  jobs_ = std::make_unique<NodeJobs>(make_job_program(parts_.coordinator),
                                     [own](JobId job, std::uint32_t attempt, Result<std::string> result) {
                                       caf::anon_send(own, JobAttemptEnded{job, attempt, std::move(result)});
                                     });
}

WorkerState::~WorkerState() {
  if (monitor_) caf::anon_send_exit(monitor_, caf::exit_reason::user_shutdown);
  for (auto& [id, held] : replicas_) held.replica->close();
}

void WorkerState::begin(const StartWorker& message) {
  info_ = message.info;
  commands_ = message.commands;
  // A node that coordinates at a free port knows it only now.
  if (parts_.coordinator.endpoint.port == 0) parts_.coordinator.endpoint = info_.rpc;
  monitor_ = spawn_monitor(self_->system(), caf::actor_cast<caf::actor>(self_), *parts_.clock, info_.cores,
                           parts_.heartbeat, parts_.refusals);
  dial();
}

void WorkerState::prepare(const PrepareShard& message) {
  if (!registered_) return early_.push_back(message);
  Held& held = replicas_[message.plan.replica];
  if (!held.replica) {
    ExecutorParts parts = parts_.executor;
    parts.replica = message.plan.replica;
    Result<std::shared_ptr<NodeReplica>> started = NodeReplica::start(
        self_->system(), parts, message.plan.deployment, *parts_.blocking, caf::actor_cast<caf::actor>(self_));
    if (!started) {
      replicas_.erase(message.plan.replica);
      (*message.reply)(started.error());
      return;
    }
    held.replica = *started;
    self_->send(monitor_, WatchReplica{message.plan.replica, held.replica});
  }
  held.uri = message.plan.uri;
  held.content_id = message.plan.content_id;
  held.idle = false;
  self_->send(held.replica->shard(), message);
}

template <typename Command>
void WorkerState::command(const Command& message) {
  const auto found = replicas_.find(message.replica);
  if (found != replicas_.end()) {
    self_->send(found->second.replica->shard(), message);
  } else if constexpr (std::is_same_v<Command, RetireShard>) {
    (*message.reply)({});
  } else {
    (*message.reply)(Error{ErrorCode::not_found, "this node holds nothing of replica " +
                                                     std::to_string(message.replica.value) + "; prepare it again"});
  }
}

void WorkerState::activated(const ShardActivated& message) {
  if (!message.result) {
    broken({message.replica, message.epoch, message.result.error()});
    return;
  }
  log_info("epoch " + std::to_string(message.epoch.value) + " of replica " + std::to_string(message.replica.value) +
           " computes; its conductor is here");
  if (!client_) return;  // told when it registers again
  client_->epoch_activated(message.replica, message.epoch, message.incarnation, parts_.request_deadline, Reply<void>());
}

void WorkerState::broken(const ShardBroken& message) {
  log_warning("epoch " + std::to_string(message.epoch.value) + " of replica " + std::to_string(message.replica.value) +
              " broke: " + message.error.message);
  if (!client_) return;
  client_->epoch_broken(message.replica, message.epoch, message.error.message, parts_.request_deadline, Reply<void>());
}

void WorkerState::damaged(const ShardDamaged& message) {
  log_error("replica " + std::to_string(message.replica.value) + " reads a damaged copy: " + message.error.message);
  damages_.insert_or_assign(message.replica, message);
  if (damages_.size() > damages_max) damages_.erase(damages_.begin());
  if (registered_) report(message);
}

void WorkerState::report(const ShardDamaged& damage) {
  client_->copy_damaged(damage.replica, damage.epoch, damage.error.message, parts_.request_deadline, Reply<void>());
}

void WorkerState::end_idle_replicas() {
  const TimePoint now = parts_.clock->now();
  for (auto entry = replicas_.begin(); entry != replicas_.end();) {
    Held& held = entry->second;
    const ExecutorLoad load = held.replica->executor().load();
    const bool idle = held.replica->executor().held().empty() && load.shards == 0 && load.streams_running == 0 &&
                      load.streams_waiting == 0;
    if (idle && !held.idle) held.idle_since = now;
    held.idle = idle;
    if (!idle || seconds_between(held.idle_since, now) < idle_seconds_max) {
      ++entry;
      continue;
    }
    self_->send(monitor_, WatchReplica{entry->first, nullptr});
    held.replica->close();
    entry = replicas_.erase(entry);
  }
}

WorkerState::Held* WorkerState::conducting(const std::string& deployment, ReplicaId replica) {
  Held* any = nullptr;
  for (auto& [id, held] : replicas_) {
    if (held.replica->deployment() != deployment || (replica.value != 0 && id != replica)) continue;
    any = &held;
    for (const HeldEpoch& epoch : held.replica->executor().held()) {
      if (epoch.conducts) return &held;
    }
  }
  return any;
}

void WorkerState::open_stream(const OpenStream& message) {
  if (Held* const held = conducting(message.request.deployment, message.request.replica)) {
    self_->send(held->replica->conductor(), message);
    return;
  }
  (*message.reply)(Error{ErrorCode::unavailable, "this node does not conduct '" + message.request.deployment +
                                                     "'; ask the coordinator where it is now"});
}

void WorkerState::cancel_stream(const CancelStream& message) {
  for (const auto& [id, held] : replicas_) self_->send(held.replica->conductor(), message);
  (*message.reply)({});
}

void WorkerState::frontend_gone(const FrontendGone& message) {
  for (const auto& [id, held] : replicas_) self_->send(held.replica->conductor(), message);
}

void WorkerState::read_tokenizer(const ReadTokenizer& message) {
  const Held* const held = conducting(message.query.deployment);
  if (held == nullptr) {
    (*message.reply)(Error{ErrorCode::unavailable, "this node holds nothing of '" + message.query.deployment +
                                                       "'; ask the coordinator where it is now"});
    return;
  }
  // Of what is open, if anything is: the file may be gone, or another one have its name, while this node goes on
  // serving.
  auto open = held->replica->executor().open_checkpoint(held->content_id);
  const bool posted =
      parts_.blocking->post([open = std::move(open), uri = held->uri, content_id = held->content_id, message] {
        (*message.reply)(open ? read_tokenizer_chunk(*open, message.query)
                              : read_tokenizer_chunk(uri, content_id, message.query));
      });
  if (!posted) (*message.reply)(Error{ErrorCode::exhausted, "this node has too much to do; try again"});
}

void WorkerState::start_job(const StartJob& message) {
  (*message.reply)(jobs_->start(message.job, message.attempt, message.spec));
}

void WorkerState::stop_job(const StopJobAttempt& message) {
  jobs_->stop(message.job, message.attempt);
  (*message.reply)({});
}

void WorkerState::job_ended(const JobAttemptEnded& message) {
  if (!registered_ || !client_) {
    self_->delayed_send(self_, report_retry, message);
    return;
  }
  client_->report_job(message.job, message.attempt, message.result, parts_.request_deadline,
                      [self = caf::actor_cast<caf::actor>(self_), message](Result<JobRecord> result) {
                        const bool lost = !result && (result.error().code == ErrorCode::unavailable ||
                                                      result.error().code == ErrorCode::timed_out);
                        caf::anon_send(self, JobReportAnswered{message, lost});
                      });
}

void WorkerState::job_reported(const JobReportAnswered& message) {
  if (message.lost) {
    self_->delayed_send(self_, report_retry, message.report);
  } else {
    jobs_->forget(message.report.job);
  }
}

caf::actor spawn_worker(caf::actor_system& system, const WorkerParts& parts) {
  return system.spawn(worker_behavior, parts);
}

void start_worker(const caf::actor& worker, const NodeInfo& info, NodeHandler& commands) {
  caf::anon_send(worker, StartWorker{info, &commands});
}

}  // namespace tessera
