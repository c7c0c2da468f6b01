// The root rank's side: acknowledgements, leases, steps.
#include <algorithm>
#include <string>
#include <utility>

#include "cluster/executor/executor_loop.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/model/embedding.hpp"

namespace tessera {

namespace {

/// With some of a step's time for what else the machine does, the gap between two tokens of a stream is at most twice
/// the usual one while long prompts are computed.
constexpr double step_stretch_max = 1.8;

/// Samples while the shard hands out its logits, and keeps the hidden states that are wanted.
class SamplingSink final : public StepSink {
 public:
  SamplingSink(Conductor& conductor, const StepPlan& plan) : conductor_(conductor), plan_(plan) {}
  void take_hidden(std::uint32_t index, std::span<const float> state) override { conductor_.take_hidden(index, state); }
  void take_logits(std::uint32_t first, std::span<const float> logits) override {
    conductor_.take_logits(plan_, first, logits);
  }

 private:
  Conductor& conductor_;
  const StepPlan& plan_;
};

}  // namespace

void ExecutorLoop::conduct(Epoch epoch) {
  conducting_ = epoch;
  board_.set_conducting(epoch);
}

void ExecutorLoop::end_conductor() {
  if (!conductor_.conducts()) return;
  abandon_step();
  deliver();
  std::vector<StreamUpdate> moved = conductor_.end();
  conduct(Epoch{});
  if (!moved.empty()) parts_.events->updates(std::move(moved));
}

void ExecutorLoop::await_acks(LiveEpoch& epoch) {
  epoch.ack_missing.assign(epoch.shard->plan().ranks(), true);
  epoch.ack_missing[epoch.shard->self().value] = false;
}

void ExecutorLoop::check_activated(LiveEpoch& epoch) {
  if (epoch.phase == Phase::broken || epoch.phase == Phase::running || epoch.transfer) return;
  if (std::find(epoch.ack_missing.begin(), epoch.ack_missing.end(), true) != epoch.ack_missing.end()) return;
  epoch.phase = Phase::running;
  parts_.events->activated(epoch.number(), epoch.incarnation, {});
}

ConductorLimits ExecutorLoop::conductor_limits(const LiveEpoch& epoch) const {
  const EpochPlan& plan = epoch.shard->plan();
  ConductorLimits limits;
  const ModelShape& shape = epoch.shard->shape();
  limits.has_head = shape.plan.head;
  limits.whole_sequences = shape.plan.bidirectional;
  limits.context_length = embedding_tokens_max(shape);  // the whole context, but of an encoder at most a step
  limits.vocab_size = shape.vocab_size;
  limits.pages = plan.kv_pages;
  limits.waiting_max = parts_.limits.streams_max;
  limits.detached_max = parts_.limits.streams_max;
  limits.end_tokens_max = end_tokens_max;
  limits.stretch_max = step_stretch_max;
  limits.drafts_max = plan.speculation == Speculation::off ? 0 : limits::drafts_max;
  limits.kv_identity = plan.content_id + " " + plan.profile + " " + to_string(epoch.shard->shard()->kv().shape().dtype);
  return limits;
}

bool ExecutorLoop::step() {
  LiveEpoch* const epoch = conducting_.value == 0 ? nullptr : find(conducting_);
  if (epoch == nullptr || epoch->phase != Phase::running) return false;
  if (!pending_) {
    std::optional<StepPlan> plan = conductor_.plan_step(parts_.clock->now());
    if (!plan) return false;
    pending_ = PendingStep{std::move(*plan), ++last_ticket_, 0, parts_.clock->now()};
    if (const Result<void> asked = request_lease(*epoch); !asked) {
      break_epoch(*epoch, asked.error());
      return true;
    }
    pass_on_leases();
  }
  if (!pending_ || pending_->leases < epoch->shard->plan().lease_nodes.size()) return false;
  PendingStep pending = std::move(*pending_);
  pending_.reset();
  run_step(*epoch, std::move(pending));
  return true;
}

Result<void> ExecutorLoop::broadcast(LiveEpoch& epoch, const StepPlan& plan) {
  StepCommand command;
  command.number = epoch.step;
  for (const PlannedRow& row : plan.rows)
    command.rows.push_back({row.token, row.position, row.sequence, row.wants_logits, row.wants_hidden});
  for (const PlannedSequence& sequence : plan.sequences) command.sequences.push_back(sequence.pages);
  const std::span<const std::byte> bytes = encoder_.encode(std::move(command));
  for (std::uint32_t rank = 0; rank < epoch.shard->plan().ranks(); ++rank) {
    if (ParticipantIndex{rank} == epoch.shard->self()) continue;
    TESSERA_CHECK(epoch.mesh().send_command(ParticipantIndex{rank}, epoch.step, bytes));
  }
  return {};
}

void ExecutorLoop::run_step(LiveEpoch& epoch, PendingStep pending) {
  const StepPlan& plan = pending.plan;
  const TimePoint start = parts_.clock->now();
  const double waited = epoch.mesh().counters().wait_seconds;
  const std::size_t leases = epoch.shard->plan().lease_nodes.size();
  const auto allowed = [&](bool begins) {
    return parts_.fence->ask([&](WorkerFence& fence) {
      return begins ? fence.step(parts_.replica, epoch.number(), epoch.incarnation, epoch.step)
                    : fence.result(parts_.replica, epoch.number(), epoch.incarnation);
    });
  };
  ++epoch.step;
  Result<void> result = allowed(true);
  if (result) result = broadcast(epoch, plan);
  if (result) {
    std::vector<StepRow> rows;
    for (const PlannedRow& row : plan.rows)
      rows.push_back({row.token, row.position, row.sequence, row.wants_logits, row.wants_hidden});
    std::vector<StepSequence> sequences;
    for (const PlannedSequence& sequence : plan.sequences) sequences.push_back({sequence.pages});
    SamplingSink sink(conductor_, plan);
    result = epoch.shard->shard()->run(Step{epoch.step, rows, sequences}, sink);
  }
  // Sampled or not: nothing of it is delivered when the epoch was left meanwhile, or its weights were found damaged.
  if (result) result = allowed(false);
  if (const auto damage = epoch.shard->damage(); result && damage) result = *damage;
  if (!result) {
    conductor_.step_failed();
    release_leases(epoch, pending.ticket, leases);
    return break_epoch(epoch, result.error());
  }
  release_leases(epoch, pending.ticket, leases);
  const TimePoint end = parts_.clock->now();
  StepStatistics statistics;
  statistics.seconds = seconds_between(start, end);
  statistics.tokens = conductor_.step_done(plan, statistics.seconds);
  statistics.epoch = epoch.number();
  statistics.rows = static_cast<std::uint32_t>(plan.rows.size());
  statistics.wait_seconds = epoch.mesh().counters().wait_seconds - waited;
  statistics.lease_seconds = seconds_between(pending.since, start);
  record_.add(end, statistics.seconds, statistics.wait_seconds, statistics.tokens,
              conductor_.load().pages_used * epoch.shard->kv_page_bytes());
  record_.conducted(statistics.rows);
  parts_.events->stepped(statistics);
}

/// Asks for the first lease that the pending step lacks.
Result<void> ExecutorLoop::request_lease(LiveEpoch& epoch) {
  const EpochPlan& plan = epoch.shard->plan();
  if (pending_->leases >= plan.lease_nodes.size()) return {};
  const std::optional<ParticipantIndex> keeper = plan.find(plan.lease_nodes[pending_->leases]);
  if (!keeper) {
    return Error{ErrorCode::corrupt, "the plan wants the lease of node " +
                                         std::to_string(plan.lease_nodes[pending_->leases].value) +
                                         ", which takes no part in it"};
  }
  if (*keeper != epoch.shard->self())
    return send(epoch, *keeper, LeaseCommand{LeaseCommand::Action::acquire, pending_->ticket});
  leases_.acquire(epoch.number(), pending_->ticket);
  return {};
}

void ExecutorLoop::lease_granted(LiveEpoch& epoch, ParticipantIndex from, std::uint64_t ticket) {
  if (!pending_ || epoch.number() != conducting_ || ticket != pending_->ticket) return;  // given up meanwhile
  const std::vector<NodeId>& nodes = epoch.shard->plan().lease_nodes;
  if (pending_->leases >= nodes.size() || epoch.shard->plan().find(nodes[pending_->leases]) != from) return;
  ++pending_->leases;
  if (const Result<void> asked = request_lease(epoch); !asked) break_epoch(epoch, asked.error());
}

void ExecutorLoop::pass_on_leases() {
  for (const LeaseKeeper::Granted& granted : leases_.take_granted()) {
    LiveEpoch* const epoch = find(granted.epoch);
    if (epoch == nullptr || epoch->phase == Phase::broken) continue;
    if (epoch->shard->root()) {
      lease_granted(*epoch, epoch->shard->self(), granted.ticket);
      continue;
    }
    const Result<void> told =
        send(*epoch, epoch->shard->root_participant(), LeaseCommand{LeaseCommand::Action::grant, granted.ticket});
    if (!told) break_epoch(*epoch, told.error());
  }
}

void ExecutorLoop::release_leases(LiveEpoch& epoch, std::uint64_t ticket, std::size_t count) {
  const EpochPlan& plan = epoch.shard->plan();
  for (std::size_t i = 0; i < count; ++i) {
    const std::optional<ParticipantIndex> keeper = plan.find(plan.lease_nodes[i]);
    if (!keeper) continue;
    if (*keeper == epoch.shard->self()) {
      leases_.release(epoch.number(), ticket);
    } else if (!epoch.mesh().aborted()) {
      const Result<void> told = send(epoch, *keeper, LeaseCommand{LeaseCommand::Action::release, ticket});
      // The keeper gives a lost conductor's lease back by itself; whoever waits next in this mesh reports the loss.
      if (!told) continue;
    }
  }
}

void ExecutorLoop::abandon_step() {
  if (!pending_) return;
  LiveEpoch* const epoch = find(conducting_);
  const PendingStep pending = std::move(*pending_);
  pending_.reset();
  conductor_.step_abandoned();
  if (epoch == nullptr) return;
  // Also the one that was asked for and not granted yet.
  release_leases(*epoch, pending.ticket, std::min(pending.leases + 1, epoch->shard->plan().lease_nodes.size()));
}

}  // namespace tessera
