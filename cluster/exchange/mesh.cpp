#include "cluster/exchange/mesh.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "cluster/exchange/link.hpp"
#include "cluster/exchange/mesh_transfer.hpp"
#include "cluster/exchange/waiter.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

/// Memory of a larger command is given back before the next one.
constexpr std::size_t command_words_kept = (8u << 20) / sizeof(std::uint64_t);

}  // namespace

Mesh::Mesh(DataListener& listener, const EpochPlan& plan, ParticipantIndex self, const EpochKeys& keys,
           const ExchangeOptions& options)
    : options_(options),
      listener_(listener),
      replica_(plan.replica),
      epoch_(plan.epoch),
      self_(self),
      keys_(keys),
      transfer_(std::make_unique<Transfer>()) {
  TESSERA_ENSURE(options_.clock != nullptr && self.value < plan.participants.size());
  for (std::uint32_t i = 0; i < plan.participants.size(); ++i) {
    const Participant& participant = plan.participants[i];
    Peer& peer = peers_.emplace_back();
    peer.name = participant.name + " (participant " + std::to_string(i) + ")";
    peer.endpoint = participant.data;
  }
  transfer_->out.reserve(peers_.size());
  transfer_->in.reserve(peers_.size());
  poll_set_.reserve(peers_.size() + 2);
  auto expectation = listener_.expect({replica_, epoch_, self_});
  if (expectation) {
    expectation_ = std::move(*expectation);
  } else {
    expectation_error_ = expectation.error();
  }
}

Mesh::~Mesh() {
  for (PairKey& key : keys_.keys) wipe(key);
}

void Mesh::abort(const std::string& reason) { fail(Error{ErrorCode::cancelled, reason}); }

Error Mesh::fail(Error error) {
  const std::lock_guard lock(mutex_);
  // What a call sees after an abort is a consequence of it.
  if (failure_) return *failure_;
  failure_ = error;
  aborted_.store(true, std::memory_order_release);
  abort_event_.signal();
  for (const Peer& peer : peers_) {
    if (peer.link) peer.link->shut_down();
  }
  return error;
}

std::optional<Error> Mesh::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

const std::string& Mesh::name_of(ParticipantIndex participant) const { return peers_.at(participant.value).name; }

bool Mesh::connected(ParticipantIndex participant) const { return peers_.at(participant.value).link != nullptr; }

void Mesh::close(ParticipantIndex participant) {
  const std::lock_guard lock(mutex_);
  peers_.at(participant.value).link.reset();
}

Result<Link*> Mesh::link_to(ParticipantIndex participant) {
  if (aborted()) return *failure();
  TESSERA_ENSURE(participant.value < peers_.size() && participant != self_);
  const Peer& peer = peers_[participant.value];
  if (!peer.link) return Error{ErrorCode::unavailable, peer.name + ": its data connection is closed"};
  return peer.link.get();
}

FrameHeader Mesh::header(FrameKind kind, std::uint64_t step) const {
  FrameHeader header;
  header.kind = kind;
  header.step = step;
  header.replica = replica_;
  header.epoch = epoch_;
  header.incarnation = incarnation_;
  return header;
}

Result<void> Mesh::exchange(ExchangeTag tag, std::span<const OutgoingBytes> outgoing,
                            std::span<const IncomingFloats> incoming) {
  Transfer& transfer = *transfer_;
  FrameHeader of_all = header(FrameKind::exchange, tag.step);
  of_all.op = static_cast<std::uint8_t>(tag.op);
  of_all.layer = tag.layer;
  transfer.start(of_all);
  for (const OutgoingBytes& one : outgoing) {
    PieceCursor cursor(one.segments);
    const std::uint64_t total = cursor.total();
    if (total == 0) continue;  // both ends know
    TESSERA_TRY(Link* const link, link_to(one.to));
    transfer.out.push_back({link, cursor, total, 0});
  }
  for (const IncomingFloats& one : incoming) {
    if (one.values.empty()) continue;
    TESSERA_TRY(Link* const link, link_to(one.from));
    const std::span<std::byte> bytes = std::as_writable_bytes(one.values);
    transfer.in.push_back({link, bytes.data(), bytes.size(), 0});
  }
  // Half an exchange is none: whatever ends it ends the epoch here.
  if (Result<void> done = pump(transfer); !done) return fail(done.error());
  return {};
}

Result<void> Mesh::send_command(ParticipantIndex to, std::uint64_t step, std::span<const std::byte> bytes) {
  TESSERA_TRY(Link* const link, link_to(to));
  if (bytes.empty() || bytes.size() > command_bytes_max) {
    return Error{ErrorCode::exhausted, "a command of " + std::to_string(bytes.size()) + " bytes cannot be sent: 1 to " +
                                           std::to_string(command_bytes_max) + " are allowed"};
  }
  const std::array<std::span<const std::byte>, 1> pieces = {bytes};
  Transfer& transfer = *transfer_;
  transfer.start(header(FrameKind::command, step));
  transfer.out.push_back({link, PieceCursor(std::span<const std::span<const std::byte>>(pieces)), bytes.size(), 0});
  if (Result<void> done = pump(transfer); !done) {
    if (aborted()) return *failure();
    close(to);
    return done.error();
  }
  return {};
}

Result<bool> Mesh::take_command_frame(Link& link, ReceivedCommand& command, std::size_t& got) {
  TESSERA_TRY(const std::size_t payload, link.payload_bytes());
  if (got + payload > command_bytes_max) {
    return Error{ErrorCode::corrupt, "a command of more than " + std::to_string(command_bytes_max) + " bytes arrives"};
  }
  const std::size_t words = (got + payload + 7) / 8;
  if (command_.size() < words) command_.resize(words);
  TESSERA_TRY(const FrameHeader header, link.open(std::as_writable_bytes(std::span(command_)).subspan(got).data()));
  const bool first = got == 0;
  FrameHeader expected = this->header(FrameKind::command, first ? header.step : command.step);
  expected.incarnation = first ? header.incarnation : command.incarnation;
  expected.offset = got;
  expected.total = first ? header.total : command.bytes.size();
  if (header != expected || payload == 0 || got + payload > header.total || header.total > command_bytes_max)
    return Error{ErrorCode::corrupt, "expected a " + describe(expected) + ", got a " + describe(header)};
  got += payload;
  // The size of the whole; the bytes come bit by bit, and only as many are allocated as have come.
  const auto* const bytes = reinterpret_cast<const std::byte*>(command_.data());
  command = {header.incarnation, header.step, {bytes, static_cast<std::size_t>(header.total)}};
  counters_.bytes_received += payload;
  ++counters_.frames_received;
  return got == header.total;
}

Result<ReceivedCommand> Mesh::receive_command(ParticipantIndex from) {
  TESSERA_TRY(Link* const link, link_to(from));
  if (command_.size() > command_words_kept) command_ = {};
  ReceivedCommand command;
  std::size_t got = 0;
  Waiter waiter(options_);
  for (;;) {
    const Link::State state = link->state();
    if (state == Link::State::frame) {
      const auto complete = take_command_frame(*link, command, got);
      if (!complete) {
        return fail(Error{complete.error().code, "from " + name_of(from) + ": " + complete.error().message});
      }
      if (*complete) return command;
      continue;
    }
    if (aborted()) return *failure();
    if (state == Link::State::ended) {
      const Error error = link->ended_error();
      close(from);
      return error;
    }
    if (link->fill(inbox_bytes_usual)) {
      waiter.moved();
      continue;
    }
    if (waiter.idle()) continue;
    if (got > 0 && waiter.idle_seconds() > options_.stall_seconds_max) {
      return fail(Error{ErrorCode::timed_out, name_of(from) +
                                                  " sent the beginning of a command, and then nothing for " +
                                                  std::to_string(options_.stall_seconds_max) + " s"});
    }
    pollfd one{link->fd(), POLLIN, 0};
    ::poll(&one, 1, got > 0 ? poll_milliseconds(options_.stall_seconds_max) : -1);
  }
}

}  // namespace tessera
