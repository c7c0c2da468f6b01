#include "actors/monitor.hpp"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/load_sampler.hpp"
#include "actors/messages.hpp"

namespace tessera {

namespace {

/// Of the conductors' reports; what is shown to people need not be newer.
constexpr double report_seconds = 1;

struct MonitorState {
  std::unique_ptr<LoadSampler> sampler;
  CountRefusals refusals;
  TimePoint reported;
  std::map<ReplicaId, std::shared_ptr<NodeReplica>> replicas;
  std::map<ReplicaId, ExecutorLoad> last;                          ///< of those replicas
  std::uint64_t prefix_tokens_queried = 0, prefix_tokens_hit = 0;  ///< also of replicas that are gone
  std::uint64_t draft_tokens = 0, draft_tokens_accepted = 0;       ///< likewise
};

ReplicaLoad load_of(ReplicaId replica, const ExecutorLoad& load) {
  return {replica,       load.streams_running,       load.streams_waiting,   load.pages_used,
          load.pages,    load.prefix_tokens_queried, load.prefix_tokens_hit, load.preempted,
          load.step_rows};
}

NodeLoad sample(MonitorState& state) {
  const ProcessLoad process = state.sampler->sample();
  NodeLoad load;
  load.cpu_share = process.cpu_share;
  load.resident_bytes = process.resident_bytes;
  for (const auto& [id, replica] : state.replicas) {
    const ExecutorLoad one = replica->executor().load();
    load.weight_bytes += one.weight_bytes;
    load.kv_bytes_used += one.kv_bytes_used;
    load.kv_bytes += one.kv_bytes;
    if (one.pages > 0 || one.step_rows.rows > 0) load.replicas.push_back(load_of(id, one));
    load.shards += one.shards;
    load.streams_running += one.streams_running;
    load.streams_waiting += one.streams_waiting;
    load.tokens_per_second += one.tokens_per_second;
    load.kv_pages_cached += one.pages_cached;
    const ExecutorLoad before = std::exchange(state.last[id], one);
    state.prefix_tokens_queried += one.prefix_tokens_queried - before.prefix_tokens_queried;
    state.prefix_tokens_hit += one.prefix_tokens_hit - before.prefix_tokens_hit;
    state.draft_tokens += one.draft_tokens - before.draft_tokens;
    state.draft_tokens_accepted += one.draft_tokens_accepted - before.draft_tokens_accepted;
    // Of several replicas the slowest tells most.
    load.step_seconds_median = std::max(load.step_seconds_median, one.step_seconds_median);
    load.wait_share = std::max(load.wait_share, one.wait_share);
  }
  load.prefix_tokens_queried = state.prefix_tokens_queried;
  load.prefix_tokens_hit = state.prefix_tokens_hit;
  load.draft_tokens = state.draft_tokens;
  load.draft_tokens_accepted = state.draft_tokens_accepted;
  if (state.refusals) {
    const Refusals refused = state.refusals();
    load.connections_refused = refused.connections;
    load.calls_denied = refused.calls;
  }
  return load;
}

std::vector<ReplicaMetrics> take_metrics(MonitorState& state) {
  std::vector<ReplicaMetrics> all;
  for (const auto& [id, replica] : state.replicas) {
    if (const auto metrics = replica->take_metrics()) all.push_back(*metrics);
  }
  return all;
}

caf::behavior monitor_behavior(caf::stateful_actor<MonitorState>* self, caf::actor worker, const Clock* clock,
                               std::uint32_t cores, std::chrono::milliseconds interval, const CountRefusals& refusals) {
  self->state.refusals = refusals;
  self->state.sampler = std::make_unique<LoadSampler>(*clock, cores);
  self->state.reported = clock->now();
  self->delayed_send(self, interval, TimePasses{});
  return {
      [self](const WatchReplica& message) {
        self->state.last.erase(message.id);
        if (message.replica) {
          self->state.replicas[message.id] = message.replica;
        } else {
          self->state.replicas.erase(message.id);
        }
      },
      [self, worker, clock, interval](TimePasses) {
        self->send(worker, LoadSampled{sample(self->state)});
        if (seconds_between(self->state.reported, clock->now()) >= report_seconds) {
          self->state.reported = clock->now();
          auto metrics = take_metrics(self->state);
          if (!metrics.empty()) self->send(worker, MetricsTaken{std::move(metrics)});
        }
        self->delayed_send(self, interval, TimePasses{});
      },
  };
}

}  // namespace

caf::actor spawn_monitor(caf::actor_system& system, caf::actor worker, const Clock& clock, std::uint32_t cores,
                         std::chrono::milliseconds interval, CountRefusals refusals) {
  return system.spawn(monitor_behavior, std::move(worker), &clock, cores, interval, std::move(refusals));
}

}  // namespace tessera
