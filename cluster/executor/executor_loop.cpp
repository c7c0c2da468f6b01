#include "cluster/executor/executor_loop.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "cluster/executor/sequence_transfer.hpp"
#include "runtime/base/log.hpp"

namespace tessera {

namespace {

std::string describe(const EpochPlan& plan) {
  return "replica " + std::to_string(plan.replica.value) + ", epoch " + std::to_string(plan.epoch.value);
}

Error not_prepared(Epoch epoch) {
  return Error{ErrorCode::unavailable,
               "epoch " + std::to_string(epoch.value) + " is not prepared (any more) on this node; plan a newer one"};
}

}  // namespace

ExecutorLoop::ExecutorLoop(const ExecutorParts& parts, ExecutorBoard& board, EpochPreparer& preparer,
                           Conductor& conductor, StepRecord& record)
    : parts_(parts),
      board_(board),
      preparer_(preparer),
      conductor_(conductor),
      record_(record),
      leases_(*parts.leases, board.wake_event()) {}

ExecutorLoop::~ExecutorLoop() = default;

void ExecutorLoop::run() {
  while (!board_.stopping()) {
    take_orders();
    pass_on_leases();
    const bool busy = work();
    deliver();
    wait(busy);
  }
}

void ExecutorLoop::take_orders() {
  for (ExecutorOrder& order : board_.take_orders()) {
    std::visit([this](auto& one) { on(one); }, order);
  }
}

void ExecutorLoop::on(PreparedOrder& order) {
  LiveEpoch epoch;
  epoch.shard = std::move(order.shard);
  epoch.limits = epoch.shard->command_limits();
  const Epoch number = epoch.number();
  epochs_.emplace(number, std::move(epoch));
}

void ExecutorLoop::on(ActivateOrder& order) {
  LiveEpoch* const epoch = find(order.epoch);
  if (epoch == nullptr || epoch->phase != Phase::prepared) {
    parts_.fence->ask([&](WorkerFence& fence) { fence.forget(parts_.replica, order.epoch); });
    parts_.events->activated(order.epoch, order.incarnation, not_prepared(order.epoch));
    return;
  }
  abandon_step();
  // The fence took the begin when the order was posted.
  Result<void> result = accept_begin(*epoch, order.incarnation, true);
  conductor_.start(conductor_limits(*epoch), order.incarnation, false);
  conduct(order.epoch);
  epoch->phase = Phase::beginning;
  await_acks(*epoch);
  for (std::uint32_t rank = 0; rank < epoch->shard->plan().ranks() && result; ++rank) {
    if (epoch->ack_missing[rank])
      result = send(*epoch, ParticipantIndex{rank}, BeginCommand{order.incarnation, epoch->step + 1});
  }
  if (!result) return break_epoch(*epoch, result.error());
  check_activated(*epoch);
}

void ExecutorLoop::on(HandOverOrder& order) {
  LiveEpoch *const from = find(order.from), *const to = find(order.to);
  if (to == nullptr) return parts_.events->broken(order.to, not_prepared(order.to));
  if (to->phase == Phase::broken) return;  // lost a peer after the order was posted: already reported
  if (to->phase != Phase::prepared) return parts_.events->broken(order.to, not_prepared(order.to));
  if (conducting_ != order.from || from == nullptr || from->phase != Phase::running ||
      to->shard->plan().previous != order.from) {
    return break_epoch(*to, Error{ErrorCode::conflict, "epoch " + std::to_string(order.from.value) +
                                                           " is not conducted here and cannot be handed over"});
  }
  abandon_step();
  deliver();
  TransferCommand command;
  command.from = order.from;
  command.incarnation = order.incarnation;
  command.next_step = 1;
  const std::uint32_t kv_pages = to->shard->plan().kv_pages;
  const std::vector<SequenceState> states = conductor_.sequences();
  // A conductor that stays keeps its sequences, and needs every page that it keeps; another one needs the sequences
  // too.
  if (!to->shard->root()) command.sequences = to_transfer(states, to->shard->plan().deployment, kv_pages);
  command.pages = to->shard->root() ? pages_of(states, kv_pages) : pages_of(command.sequences);
  Result<void> result = accept_begin(*to, order.incarnation, false);
  for (std::uint32_t i = 0; i < to->mesh().participants() && result; ++i) {
    if (ParticipantIndex{i} != to->shard->self()) result = send(*to, ParticipantIndex{i}, command);
  }
  if (to->shard->root()) {
    conductor_.start(conductor_limits(*to), order.incarnation, true);
    conduct(order.to);
    await_acks(*to);
  } else {
    end_conductor();
  }
  if (result) result = start_moves(*to, order.from, std::move(command.pages));
  if (!result) break_epoch(*to, result.error());
}

void ExecutorLoop::on(RetireOrder& order) {
  if (LiveEpoch* const epoch = find(order.epoch); epoch != nullptr) remove(order.epoch);
  // A donor of the epoch that followed has done its part.
  for (auto entry = epochs_.begin(); entry != epochs_.end();) {
    LiveEpoch& epoch = (entry++)->second;
    if (epoch.shard->donor() && epoch.phase == Phase::running && epoch.transfer_from == order.epoch) {
      const Epoch number = epoch.number();
      remove(number);
      parts_.fence->ask([&](WorkerFence& fence) { fence.forget(parts_.replica, number); });
    }
  }
  const LiveEpoch* const conducted = find(conducting_);
  // In this order: what was prepared moves from there to the board.
  const bool goes_on = preparer_.has_successor(conducting_) || board_.has_successor(conducting_);
  if (conductor_.conducts() && conducted == nullptr && !goes_on) end_conductor();
}

ExecutorLoop::LiveEpoch* ExecutorLoop::find(Epoch epoch) {
  const auto entry = epochs_.find(epoch);
  return entry == epochs_.end() ? nullptr : &entry->second;
}

ExecutorLoop::LiveEpoch* ExecutorLoop::find(const Mesh& mesh) { return find(mesh.epoch()); }

Result<void> ExecutorLoop::accept_begin(LiveEpoch& epoch, ConductorIncarnation incarnation, bool fenced) {
  if (!fenced) {
    TESSERA_CHECK(parts_.fence->ask(
        [&](WorkerFence& fence) { return fence.begin(parts_.replica, epoch.number(), incarnation); }));
  }
  const Epoch before = std::exchange(current_, epoch.number());
  epoch.began = true;
  epoch.incarnation = incarnation;
  epoch.mesh().set_incarnation(incarnation);
  forget_older(before);
  return {};
}

/// Epochs that were prepared and never began, and those before the last one: nobody needs their pages any more.
void ExecutorLoop::forget_older(Epoch keep) {
  std::vector<Epoch> over;
  for (const auto& [number, epoch] : epochs_) {
    if (number < current_ && number != keep) over.push_back(number);
  }
  for (const Epoch number : over) {
    remove(number);
    parts_.fence->ask([&](WorkerFence& fence) { fence.forget(parts_.replica, number); });
  }
}

void ExecutorLoop::break_epoch(LiveEpoch& epoch, const Error& seen) {
  if (epoch.phase == Phase::broken) return;
  // Found in the background; what this thread has seen of it are only the cut connections.
  const Error error = epoch.shard->damage().value_or(seen);
  epoch.shard->stop_check();
  const bool activating =
      conducting_ == epoch.number() && (epoch.phase == Phase::beginning || epoch.phase == Phase::transferring);
  const Epoch begun = parts_.fence->ask([&](WorkerFence& fence) { return fence.begun(parts_.replica); });
  const bool silent = epoch.shard->retired() || epoch.number() < std::max(begun, current_) || board_.stopping();
  if (conducting_ == epoch.number()) abandon_step();
  epoch.phase = Phase::broken;
  epoch.transfer.reset();
  epoch.mesh().abort(error.message);
  leases_.release_epoch(epoch.number());
  parts_.fence->ask([&](WorkerFence& fence) { fence.forget(parts_.replica, epoch.number()); });
  if (conducting_ == epoch.number()) conductor_.step_failed();
  if (silent) return;
  log_warning(describe(epoch.shard->plan()) + " is broken: " + error.message);
  if (activating) {
    parts_.events->activated(epoch.number(), epoch.incarnation, error);
  } else {
    parts_.events->broken(epoch.number(), error);
  }
}

void ExecutorLoop::lost_peer(LiveEpoch& epoch, ParticipantIndex from, const Error& error) {
  const std::uint32_t ranks = epoch.shard->plan().ranks();
  // Donors leave when they have sent everything, and have no use for the others then.
  if (epoch.phase == Phase::running && (from.value >= ranks || epoch.shard->donor())) return;
  break_epoch(epoch, error);
}

void ExecutorLoop::remove(Epoch number) {
  LiveEpoch& epoch = epochs_.at(number);
  if (conducting_ == number) {
    abandon_step();
    conductor_.step_failed();
  }
  leases_.release_epoch(number);
  epoch.shard->stop_check();
  board_.remove(number);
  for (auto& [other, next] : epochs_) {
    if (next.transfer && next.transfer_from == number && next.transfer->begun()) {
      break_epoch(next, Error{ErrorCode::unavailable, "the epoch that handed over to it was retired too early"});
    }
  }
  preparer_.destroy(std::move(epoch.shard));
  epochs_.erase(number);
}

bool ExecutorLoop::work() {
  bool busy = false;
  for (auto& [number, epoch] : epochs_) {
    if (epoch.phase != Phase::transferring) continue;
    if (const Result<void> moved = move_pages(epoch); !moved) break_epoch(epoch, moved.error());
    busy = busy || (epoch.transfer && epoch.transfer->has_piece());
  }
  return step() || busy;
}

void ExecutorLoop::wait(bool busy) {
  meshes_.clear();
  for (auto& [number, epoch] : epochs_) {
    if (epoch.phase != Phase::broken) meshes_.push_back(&epoch.mesh());
  }
  std::optional<TimePoint> deadline;
  if (busy) {
    deadline = parts_.clock->now();
  } else if (conducting_.value != 0) {
    deadline = conductor_.due();
  }
  const Arrival arrival = wait_any(meshes_, board_.wake_event().fd(), deadline, *parts_.exchange);
  if (arrival.mesh == nullptr) return;
  LiveEpoch& epoch = *find(*arrival.mesh);
  if (arrival.kind == Arrival::Kind::aborted) {
    break_epoch(epoch, epoch.mesh().failure().value_or(Error{ErrorCode::unavailable, "its connections were cut"}));
  } else if (arrival.kind == Arrival::Kind::command) {
    receive(epoch, arrival.from);
  }
}

void ExecutorLoop::deliver() {
  std::vector<StreamUpdate> updates = conductor_.take_updates(parts_.clock->now());
  if (!updates.empty()) parts_.events->updates(std::move(updates));
}

}  // namespace tessera
