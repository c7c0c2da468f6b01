// Mesh's engine: moves one exchange forward in both directions until it is done.
#include "cluster/exchange/mesh_transfer.hpp"

#include <algorithm>
#include <utility>

#include "cluster/exchange/waiter.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

/// Frames that one peer gets, or gives, before it is the next one's turn.
constexpr int frames_per_turn = 4;

}  // namespace

bool Mesh::Transfer::sending() const {
  return std::any_of(out.begin(), out.end(), [](const Out& one) { return !one.done(); });
}

bool Mesh::Transfer::done() const {
  return !sending() && std::all_of(in.begin(), in.end(), [](const In& one) { return one.done(); });
}

bool Mesh::Transfer::receives_from(const Link* link) const {
  return std::any_of(in.begin(), in.end(), [&](const In& one) { return one.link == link && !one.done(); });
}

Result<bool> Mesh::push(Transfer& transfer) {
  bool moved = false;
  for (Transfer::Out& out : transfer.out) {
    for (int turn = 0; turn < frames_per_turn && !out.done(); ++turn) {
      if (!out.link->unsent()) {
        const std::size_t bytes = std::min<std::uint64_t>(frame_payload_max, out.total - out.queued);
        FrameHeader header = transfer.header;
        header.offset = out.queued;
        header.total = out.total;
        out.link->queue(header, out.cursor, bytes);
        out.queued += bytes;
        counters_.bytes_sent += bytes;
        ++counters_.frames_sent;
      }
      TESSERA_TRY(const bool sent, out.link->flush());
      moved = moved || sent;
      if (out.link->unsent()) break;
    }
  }
  return moved;
}

Result<bool> Mesh::pull(Transfer& transfer) {
  bool moved = false;
  for (Transfer::In& in : transfer.in) {
    for (int turn = 0; turn < frames_per_turn && !in.done(); ++turn) {
      if (in.link->state() == Link::State::waiting) {
        if (!in.link->fill(inbox_bytes_usual)) break;
        moved = true;
      }
      if (in.link->state() == Link::State::waiting) continue;
      if (in.link->state() == Link::State::ended) return in.link->ended_error();
      TESSERA_TRY(const std::size_t payload, in.link->payload_bytes());
      FrameHeader expected = transfer.header;
      expected.offset = in.got;
      expected.total = in.total;
      const bool fits = payload > 0 && payload <= in.total - in.got;
      // A payload that does not fit is opened only to say what it is.
      if (!fits && command_.size() < (frame_payload_max + 7) / 8) command_.resize((frame_payload_max + 7) / 8);
      std::byte* const to = fits ? in.to + in.got : reinterpret_cast<std::byte*>(command_.data());
      TESSERA_TRY(const FrameHeader header, in.link->open(to));
      if (header != expected || !fits) {
        return Error{ErrorCode::corrupt, "from " + in.link->name() + ": expected an " + describe(expected) +
                                             ", got a " + describe(header) + " with " + std::to_string(payload) +
                                             " bytes"};
      }
      in.got += payload;
      moved = true;
      counters_.bytes_received += payload;
      ++counters_.frames_received;
    }
  }
  return moved;
}

bool Mesh::read_ahead(const Transfer& transfer) {
  bool moved = false;
  for (const Peer& peer : peers_) {
    if (!peer.link || transfer.receives_from(peer.link.get())) continue;
    moved = peer.link->fill(backlog_bytes_max) || moved;
  }
  return moved;
}

void Mesh::block(const Transfer& transfer, double seconds) {
  const bool sending = transfer.sending();
  poll_set_.clear();
  poll_set_.push_back({abort_event_.fd(), POLLIN, 0});
  for (const Peer& peer : peers_) {
    if (!peer.link) continue;
    short events = 0;
    if (peer.link->unsent()) events = static_cast<short>(events | POLLOUT);
    if (transfer.receives_from(peer.link.get()) || (sending && peer.link->wants(backlog_bytes_max)))
      events = static_cast<short>(events | POLLIN);
    if (events != 0) poll_set_.push_back({peer.link->fd(), events, 0});
  }
  ::poll(poll_set_.data(), poll_set_.size(), poll_milliseconds(seconds));
}

Error Mesh::stalled(const Transfer& transfer) const {
  std::string who;
  for (const Transfer::In& in : transfer.in) {
    if (!in.done()) who += (who.empty() ? "" : ", ") + in.link->name();
  }
  if (who.empty()) {
    for (const Transfer::Out& out : transfer.out) {
      if (!out.done()) who += (who.empty() ? "" : ", ") + out.link->name();
    }
  }
  return Error{ErrorCode::timed_out, "nothing moved for " + std::to_string(options_.stall_seconds_max) +
                                         " s while waiting for " + who + " in an " + describe(transfer.header)};
}

Result<void> Mesh::look_for_cuts() const {
  for (const Peer& peer : peers_) {
    if (!peer.link || !peer.link->unacknowledged(unacknowledged_seconds_max)) continue;
    return Error{ErrorCode::unavailable, peer.name +
                                             ": its host has acknowledged nothing for a while; check the network "
                                             "between the two"};
  }
  return {};
}

Result<void> Mesh::pump(Transfer& transfer) {
  Waiter waiter(options_);
  for (;;) {
    TESSERA_TRY(bool moved, push(transfer));
    TESSERA_TRY(const bool pulled, pull(transfer));
    moved = moved || pulled;
    if (transfer.done()) break;
    if (!moved && transfer.sending()) moved = read_ahead(transfer);
    if (aborted()) return *failure();
    if (moved) {
      waiter.moved();
      continue;
    }
    if (waiter.idle()) continue;
    const double waited = waiter.idle_seconds();
    if (waited >= options_.stall_seconds_max) return stalled(transfer);
    if (waited >= unacknowledged_seconds_max) TESSERA_CHECK(look_for_cuts());
    block(transfer, std::min(options_.stall_seconds_max - waited, look_seconds));
  }
  waiter.moved();
  counters_.wait_seconds += waiter.waited_seconds();
  return {};
}

}  // namespace tessera
