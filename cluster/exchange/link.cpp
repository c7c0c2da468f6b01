#include "cluster/exchange/link.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

constexpr std::size_t capacity_min = 32u << 10;
/// An inbox that grew while its owner was blocked in a send is given back when it is empty.
constexpr std::size_t inbox_bytes_kept = 2 * inbox_bytes_usual;

}  // namespace

std::span<const std::byte> PieceCursor::piece(std::size_t index) const {
  return bytes_.empty() ? std::as_bytes(floats_[index]) : bytes_[index];
}

std::uint64_t PieceCursor::total() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < pieces(); ++i) sum += piece(i).size();
  return sum;
}

std::span<const std::byte> PieceCursor::next(std::size_t bytes_max) {
  while (index_ < pieces()) {
    const std::span<const std::byte> rest = piece(index_).subspan(offset_);
    if (rest.empty()) {
      ++index_;
      offset_ = 0;
      continue;
    }
    const std::span<const std::byte> taken = rest.first(std::min(rest.size(), bytes_max));
    offset_ += taken.size();
    return taken;
  }
  return {};
}

Link::Link(Socket socket, FrameCipher seal, FrameCipher open, std::string name)
    : socket_(std::move(socket)), seal_(std::move(seal)), open_(std::move(open)), name_(std::move(name)) {}

void Link::shut_down() const { ::shutdown(socket_.fd(), SHUT_RDWR); }

void Link::queue(const FrameHeader& header, PieceCursor& payload, std::size_t bytes) {
  const std::size_t frame = frame_prefix_bytes + frame_header_bytes + bytes + seal_.tag_bytes();
  if (out_begin_ == out_end_) out_begin_ = out_end_ = 0;
  if (out_capacity_ - out_end_ < frame) {
    const std::size_t kept = out_end_ - out_begin_;
    const std::size_t capacity = std::bit_ceil(std::max(kept + frame, capacity_min));
    auto bigger = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (kept > 0) std::memcpy(bigger.get(), outbox_.get() + out_begin_, kept);
    outbox_ = std::move(bigger);
    out_capacity_ = capacity;
    out_begin_ = 0;
    out_end_ = kept;
  }
  std::byte* to = outbox_.get() + out_end_;
  const std::span<std::byte, frame_prefix_bytes> prefix(to, frame_prefix_bytes);
  encode_frame_prefix(bytes, seal_.tag_bytes(), prefix);
  alignas(8) std::array<std::byte, frame_header_bytes> encoded;
  encode_frame_header(header, encoded);
  seal_.begin_seal(prefix);
  to += frame_prefix_bytes;
  seal_.seal(encoded, to);
  to += frame_header_bytes;
  for (std::size_t left = bytes; left > 0;) {
    const std::span<const std::byte> piece = payload.next(left);
    TESSERA_ENSURE(!piece.empty());
    seal_.seal(piece, to);
    to += piece.size();
    left -= piece.size();
  }
  seal_.finish_seal(to);
  out_end_ += frame;
}

Result<bool> Link::flush() {
  bool moved = false;
  while (unsent()) {
    const IoResult sent = send_some(fd(), outbox_.get() + out_begin_, out_end_ - out_begin_);
    if (sent.status == IoStatus::blocked) break;
    if (sent.status == IoStatus::closed) {
      if (error_ == 0) error_ = sent.error;
      return ended_error();
    }
    out_begin_ += sent.bytes;
    moved = true;
  }
  return moved;
}

std::size_t Link::frame_bytes() const {
  if (unread().size() < frame_prefix_bytes) return frame_prefix_bytes;
  const auto size = decode_frame_prefix(unread().first<frame_prefix_bytes>(), open_.tag_bytes());
  return size ? size->bytes : frame_prefix_bytes;
}

void Link::make_room(std::size_t bytes_max) {
  const std::size_t kept = in_end_ - in_begin_;
  if (kept == 0) {
    in_begin_ = in_end_ = 0;
    if (in_capacity_ > inbox_bytes_kept) {
      inbox_.reset();
      in_capacity_ = 0;
    }
  }
  if (in_capacity_ - in_end_ >= capacity_min / 2) return;
  // At least the whole frame that has begun; at most what the caller allows.
  const std::size_t wanted = std::min(std::max(frame_bytes(), 2 * kept), std::max(frame_bytes(), bytes_max));
  const std::size_t capacity = std::bit_ceil(std::max({wanted, kept + capacity_min, capacity_min}));
  if (capacity > in_capacity_) {
    auto bigger = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (kept > 0) std::memcpy(bigger.get(), inbox_.get() + in_begin_, kept);
    inbox_ = std::move(bigger);
    in_capacity_ = capacity;
  } else if (in_begin_ > 0) {
    std::memmove(inbox_.get(), inbox_.get() + in_begin_, kept);
  }
  in_begin_ = 0;
  in_end_ = kept;
}

bool Link::fill(std::size_t bytes_max) {
  if (!wants(bytes_max)) return false;
  make_room(bytes_max);
  const IoResult got = receive_some(fd(), inbox_.get() + in_end_, in_capacity_ - in_end_);
  if (got.status == IoStatus::closed) {
    ended_ = true;
    error_ = got.error;
    return true;
  }
  in_end_ += got.bytes;
  return got.status == IoStatus::progress;
}

Link::State Link::state() const {
  const std::span<const std::byte> bytes = unread();
  if (bytes.size() >= frame_prefix_bytes && bytes.size() >= frame_bytes()) return State::frame;
  return ended_ ? State::ended : State::waiting;
}

Result<std::size_t> Link::payload_bytes() const {
  TESSERA_ENSURE(state() == State::frame);
  TESSERA_TRY(const FrameSize size, decode_frame_prefix(unread().first<frame_prefix_bytes>(), open_.tag_bytes()));
  return size.payload;
}

Result<FrameHeader> Link::open(std::byte* to) {
  TESSERA_TRY(const std::size_t payload, payload_bytes());
  const std::span<const std::byte> bytes = unread();
  alignas(8) std::array<std::byte, frame_header_bytes> header;
  open_.begin_open(bytes.first<frame_prefix_bytes>());
  open_.open(bytes.subspan(frame_prefix_bytes, frame_header_bytes), header.data());
  open_.open(bytes.subspan(frame_prefix_bytes + frame_header_bytes, payload), to);
  if (!open_.finish_open(bytes.data() + frame_prefix_bytes + frame_header_bytes + payload)) {
    return Error{ErrorCode::corrupt,
                 "a frame from " + name_ + " does not open: it was altered, repeated, or sealed with another key"};
  }
  in_begin_ += frame_prefix_bytes + frame_header_bytes + payload + open_.tag_bytes();
  return decode_frame_header(header);
}

bool Link::unacknowledged(double seconds) const {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  return info.tcpi_unacked > 0 && info.tcpi_retransmits > 0 && info.tcpi_last_ack_recv >= 1e3 * seconds;
}

Error Link::ended_error() const {
  return Error{ErrorCode::unavailable,
               name_ + " closed its data connection" + (error_ != 0 ? " (" + system_message(error_) + ")" : "")};
}

}  // namespace tessera
