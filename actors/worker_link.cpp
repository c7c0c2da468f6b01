// The Worker's connection to the coordinator.
#include <algorithm>
#include <utility>

#include <caf/send.hpp>

#include "actors/worker_state.hpp"
#include "runtime/base/log.hpp"

namespace tessera {

namespace {

constexpr std::chrono::milliseconds backoff_first{20};
constexpr std::chrono::milliseconds backoff_max{500};
/// Heartbeats in a row without an answer, after which the connection is given up.
constexpr std::uint32_t missed_beats_max = 20;

/// Trying again does not help: this node does not belong to that cluster.
bool is_lasting(const Error& error) {
  return error.code == ErrorCode::denied || error.code == ErrorCode::unsupported ||
         error.code == ErrorCode::invalid_argument || error.code == ErrorCode::conflict;
}

}  // namespace

void WorkerState::dial() {
  const std::uint64_t attempt = ++attempt_;
  const caf::actor self = caf::actor_cast<caf::actor>(self_);
  CoordinatorClient::connect(
      *parts_.rpc, parts_.coordinator,
      [self, attempt](Error why) {
        caf::anon_send(self, CoordinatorLost{attempt, std::move(why)});
      },
      [self, attempt](Result<CoordinatorClient> client) {
        caf::anon_send(self, CoordinatorConnected{attempt, std::move(client)});
      });
}

void WorkerState::dial_again(const DialCoordinator& message) {
  if (message.attempt == attempt_) dial();
}

void WorkerState::connected(const CoordinatorConnected& message) {
  if (message.attempt != attempt_) return;
  if (!message.client) {
    if (is_lasting(message.client.error()) && !ever_registered_) {
      parts_.end_node(message.client.error());
      return;
    }
    give_up_connection(message.client.error().message);
    return;
  }
  client_ = *message.client;
  std::vector<HeldEpoch> held;
  for (const auto& [id, replica] : replicas_) {
    for (const HeldEpoch& epoch : replica.replica->executor().held()) held.push_back(epoch);
  }
  const caf::actor self = caf::actor_cast<caf::actor>(self_);
  client_->register_node(info_, std::move(held), *commands_, parts_.request_deadline,
                         [self, attempt = attempt_](Result<Registration> result) {
                           caf::anon_send(self, CoordinatorRegistered{attempt, std::move(result)});
                         });
}

void WorkerState::registered(const CoordinatorRegistered& message) {
  if (message.attempt != attempt_) return;
  if (!message.result) {
    if (is_lasting(message.result.error()) && !ever_registered_) {
      parts_.end_node(message.result.error());
      return;
    }
    give_up_connection(message.result.error().message);
    return;
  }
  node_ = message.result->node;
  parts_.executor.node = node_;
  registered_ = true;
  failures_ = 0;
  missed_beats_ = 0;
  log_info("registered as node " + std::to_string(node_.value) + " in term " +
           std::to_string(message.result->term.value));
  for (const auto& [replica, damage] : damages_) report(damage);
  if (!ever_registered_ && parts_.on_ready) parts_.on_ready();
  ever_registered_ = true;
  for (const PrepareShard& early : std::exchange(early_, {})) prepare(early);
}

void WorkerState::lost(const CoordinatorLost& message) {
  if (message.attempt == attempt_) give_up_connection(message.why.message);
}

void WorkerState::dropped(const CoordinatorDropped& message) {
  if (!message.again) {
    log_info("the coordinator ends this node: " + message.reason);
    parts_.end_node(std::nullopt);
    return;
  }
  give_up_connection(message.reason);
}

void WorkerState::give_up_connection(const std::string& why) {
  if (registered_) log_warning("the coordinator is out of reach, streams go on: " + why);
  client_.reset();
  registered_ = false;
  early_.clear();
  ++attempt_;
  const auto wait = std::min(backoff_max, backoff_first * (1u << std::min(failures_, 5u)));
  if (failures_ == 3 && !ever_registered_) log_warning("the coordinator cannot be reached yet: " + why);
  ++failures_;
  self_->delayed_send(self_, wait, DialCoordinator{attempt_});
}

void WorkerState::beat(const LoadSampled& message) {
  end_idle_replicas();
  if (!registered_ || !client_) return;
  if (++missed_beats_ > missed_beats_max) {
    give_up_connection("it answers no heartbeats");
    return;
  }
  const caf::actor self = caf::actor_cast<caf::actor>(self_);
  NodeLoad load = message.load;
  load.request_seconds_median = requests_.median_seconds();
  client_->heartbeat(load, parts_.request_deadline,
                     [self, attempt = attempt_, sent = parts_.clock->now()](Result<void> result) {
                       caf::anon_send(self, HeartbeatAnswered{attempt, sent, std::move(result)});
                     });
}

void WorkerState::report_metrics(const MetricsTaken& message) {
  // Lost ones are not repeated: the next second has its own.
  if (registered_ && client_) client_->report_metrics(message.metrics, parts_.request_deadline, Reply<void>());
}

void WorkerState::beat_answered(const HeartbeatAnswered& message) {
  if (message.attempt != attempt_) return;
  if (message.result) {
    missed_beats_ = 0;
    const TimePoint now = parts_.clock->now();
    requests_.add(now, seconds_between(message.sent, now), 0, 0);
  } else if (message.result.error().code == ErrorCode::not_found) {
    give_up_connection(message.result.error().message);
  }
}

}  // namespace tessera
