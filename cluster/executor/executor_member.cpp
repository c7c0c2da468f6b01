// What the commands of an epoch's mesh do at a participant.
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "cluster/executor/executor_loop.hpp"
#include "cluster/executor/sequence_transfer.hpp"
#include "runtime/base/log.hpp"

namespace tessera {

namespace {

Error unexpected(const char* command) {
  return Error{ErrorCode::corrupt, std::string("an unexpected ") + command + " command; the peer is confused"};
}

/// Ranks other than the root have no logits.
class NoLogits final : public StepSink {
 public:
  void take_logits(std::uint32_t, std::span<const float>) override {}
};

}  // namespace

void ExecutorLoop::receive(LiveEpoch& epoch, ParticipantIndex from) {
  const Result<ReceivedCommand> frame = epoch.mesh().receive_command(from);
  if (!frame) {
    if (frame.error().code == ErrorCode::unavailable) return lost_peer(epoch, from, frame.error());
    return break_epoch(epoch, frame.error());
  }
  Result<Command> command = decode_command(frame->bytes, epoch.limits);
  if (!command) return break_epoch(epoch, command.error());
  const Result<void> done = std::visit([&](auto& one) { return on(epoch, from, *frame, one); }, *command);
  if (done) return;
  break_epoch(epoch, {done.error().code, epoch.mesh().name_of(from) + ": " + done.error().message});
}

Result<void> ExecutorLoop::send(LiveEpoch& epoch, ParticipantIndex to, const Command& command) {
  return epoch.mesh().send_command(to, epoch.step, encoder_.encode(command));
}

Result<void> ExecutorLoop::on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand&, BeginCommand& command) {
  if (epoch.shard->root() || epoch.shard->donor() || from != epoch.shard->root_participant())
    return unexpected("begin");
  const Result<void> accepted = accept_begin(epoch, command.incarnation, false);
  epoch.mesh().take_commands_only_from(from);
  TESSERA_CHECK(send(epoch, from, AckCommand{AckCommand::Of::begin, 0, accepted}));
  TESSERA_CHECK(accepted);
  epoch.phase = Phase::running;
  end_conductor();
  return {};
}

Result<void> ExecutorLoop::on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand& frame,
                              StepCommand& command) {
  if (epoch.shard->root() || epoch.shard->donor() || from != epoch.shard->root_participant()) return unexpected("step");
  const Result<void> allowed = parts_.fence->ask([&](WorkerFence& fence) {
    return fence.step(parts_.replica, epoch.number(), frame.incarnation, command.number);
  });
  if (!allowed) {
    if (epoch.number() >= current_ && !epoch.shard->retired()) return allowed;
    // A conductor that does not know yet that its epoch is over: whoever asks us no more waits in vain.
    log_info("a step was refused: " + allowed.error().message);
    return {};
  }
  std::vector<StepRow> rows;
  for (const StepCommand::Row& row : command.rows)
    rows.push_back({row.token, row.position, row.sequence, row.wants_logits, row.wants_hidden});
  std::vector<StepSequence> sequences;
  std::set<PageId> pages;  // sequences share some
  for (const std::vector<PageId>& sequence : command.sequences) {
    sequences.push_back({sequence});
    pages.insert(sequence.begin(), sequence.end());
  }
  const Step step{command.number, rows, sequences};
  TESSERA_CHECK(validate(step, epoch.shard->shape(), epoch.shard->plan().kv_pages));
  const TimePoint start = parts_.clock->now();
  const double waited = epoch.mesh().counters().wait_seconds;
  NoLogits sink;
  TESSERA_CHECK(epoch.shard->shard()->run(step, sink));
  epoch.step = command.number;
  const TimePoint end = parts_.clock->now();
  record_.add(end, seconds_between(start, end), epoch.mesh().counters().wait_seconds - waited, 0,
              pages.size() * epoch.shard->kv_page_bytes());
  return {};
}

Result<void> ExecutorLoop::make_transfer(LiveEpoch& epoch) {
  if (epoch.transfer) return {};
  const Manifest& manifest = epoch.shard->checkpoint().manifest();
  TESSERA_TRY(epoch.transfer,
              KvTransfer::create(epoch.shard->plan(), epoch.shard->self(), manifest.shape, manifest.geometry,
                                 epoch.shard->donor() ? nullptr : &epoch.shard->shard()->kv()));
  return {};
}

Result<void> ExecutorLoop::on(LiveEpoch& epoch, ParticipantIndex, const ReceivedCommand&, TransferCommand& command) {
  if (epoch.phase != Phase::prepared || command.from != epoch.shard->plan().previous) return unexpected("transfer");
  Result<void> accepted = accept_begin(epoch, command.incarnation, false);
  if (accepted) {
    abandon_step();
    deliver();
    end_conductor();
    if (epoch.shard->root()) {
      conductor_.start(conductor_limits(epoch), command.incarnation, false);
      conduct(epoch.number());
      await_acks(epoch);
      accepted = conductor_.adopt(from_transfer(std::move(command.sequences)), parts_.clock->now());
    }
  }
  if (accepted) accepted = start_moves(epoch, command.from, std::move(command.pages));
  if (!accepted && !epoch.shard->root()) {
    const AckCommand ack{AckCommand::Of::transfer, 0, accepted};
    const Result<void> told = send(epoch, epoch.shard->root_participant(), ack);
    if (!told) log_info("could not tell the new root: " + told.error().message);
  }
  return accepted;
}

Result<void> ExecutorLoop::start_moves(LiveEpoch& epoch, Epoch from, std::vector<PageId> pages) {
  TESSERA_CHECK(make_transfer(epoch));
  LiveEpoch* const old = find(from);
  ModelShard* const old_shard = old == nullptr ? nullptr : old->shard->shard();
  epoch.transfer_from = from;
  epoch.phase = Phase::transferring;
  TESSERA_CHECK(epoch.transfer->begin(old_shard == nullptr ? nullptr : &old_shard->kv(), std::move(pages)));
  return move_pages(epoch);
}

/// Sends one piece, if there is one; after the last one, and when everything has come, says so.
Result<void> ExecutorLoop::move_pages(LiveEpoch& epoch) {
  if (epoch.transfer && epoch.transfer->has_piece()) {
    const KvTransfer::Piece piece = epoch.transfer->next_piece();
    TESSERA_CHECK(send(epoch, piece.to, piece.command));
  }
  if (!epoch.transfer || !epoch.transfer->complete()) return {};
  epoch.transfer.reset();
  if (epoch.shard->root()) {
    check_activated(epoch);
    return {};
  }
  epoch.phase = Phase::running;
  if (epoch.shard->donor()) return {};
  epoch.mesh().take_commands_only_from(epoch.shard->root_participant());
  return send(epoch, epoch.shard->root_participant(), AckCommand{AckCommand::Of::transfer, 0, {}});
}

Result<void> ExecutorLoop::on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand&,
                              KvPagesCommand& command) {
  // A donor that is quick sends before the old conductor's transfer is here.
  const bool moving = epoch.phase == Phase::prepared || (epoch.phase == Phase::transferring && epoch.transfer);
  if (!moving || epoch.shard->plan().previous_kv.empty()) return unexpected("KV pages");
  TESSERA_CHECK(make_transfer(epoch));
  TESSERA_CHECK(epoch.transfer->receive(from, command));
  return epoch.phase == Phase::transferring ? move_pages(epoch) : Result<void>();
}

Result<void> ExecutorLoop::on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand&, AckCommand& command) {
  TESSERA_CHECK(command.result);
  const bool waiting = epoch.phase == Phase::beginning || epoch.phase == Phase::transferring;
  if (!epoch.shard->root() || !waiting || from.value >= epoch.ack_missing.size() || !epoch.ack_missing[from.value])
    return unexpected("ack");
  epoch.ack_missing[from.value] = false;
  check_activated(epoch);
  return {};
}

Result<void> ExecutorLoop::on(LiveEpoch& epoch, ParticipantIndex from, const ReceivedCommand&, LeaseCommand& command) {
  if (command.action == LeaseCommand::Action::grant) {
    lease_granted(epoch, from, command.ticket);
    return {};
  }
  if (from != epoch.shard->root_participant()) return unexpected("lease");
  if (command.action == LeaseCommand::Action::release) {
    leases_.release(epoch.number(), command.ticket);
  } else if (epoch.number() >= current_) {
    leases_.acquire(epoch.number(), command.ticket);
  }
  return {};
}

}  // namespace tessera
