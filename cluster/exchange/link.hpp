// Link: one authenticated connection to one participant, as a stream of frames in each direction. It never blocks; the
// mesh decides when to wait.
//
//   payload ──seal──► outbox ──send──► TCP ──recv──► inbox ──open──► where the caller wants it
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "cluster/exchange/frame.hpp"
#include "cluster/exchange/frame_cipher.hpp"
#include "cluster/exchange/socket.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Bytes of the inbox when the reader keeps up.
inline constexpr std::size_t inbox_bytes_usual = 4 * frame_bytes_max;

/// A run of bytes in pieces, read from front to back. The pieces outlive it.
class PieceCursor {
 public:
  PieceCursor() = default;
  explicit PieceCursor(std::span<const std::span<const std::byte>> bytes) : bytes_(bytes) {}
  explicit PieceCursor(std::span<const std::span<const float>> floats) : floats_(floats) {}
  std::uint64_t total() const;
  /// At most `bytes_max` bytes that lie together; empty at the end.
  std::span<const std::byte> next(std::size_t bytes_max);

 private:
  std::span<const std::byte> piece(std::size_t index) const;
  std::size_t pieces() const { return bytes_.size() + floats_.size(); }
  std::span<const std::span<const std::byte>> bytes_;
  std::span<const std::span<const float>> floats_;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;
};

/// Confined to one thread, except shut_down().
class Link {
 public:
  /// `name` of the peer, for messages.
  Link(Socket socket, FrameCipher seal, FrameCipher open, std::string name);

  int fd() const { return socket_.fd(); }
  const std::string& name() const { return name_; }
  /// Any thread, while the link lives: everyone who reads or writes sees the end.
  void shut_down() const;

  // --- out ---
  /// Seals one frame behind what is still unsent; `bytes` (at most frame_payload_max) are taken from `payload`.
  void queue(const FrameHeader& header, PieceCursor& payload, std::size_t bytes);
  bool unsent() const { return out_begin_ < out_end_; }
  /// Sends what the system takes now; true if it took something. `unavailable` when the connection is gone.
  Result<bool> flush();

  // --- in ---
  /// Receives what is there now, as long as the inbox has fewer than `bytes_max` bytes; true if something came. The end
  /// of the connection is no error here: it shows in state().
  bool fill(std::size_t bytes_max);
  /// Whether fill() would try.
  bool wants(std::size_t bytes_max) const { return !ended_ && in_end_ - in_begin_ < bytes_max; }
  enum class State : std::uint8_t { waiting, frame, ended };
  /// frame: one lies complete in the inbox (or what lies there cannot be one). ended: nothing will come any more.
  State state() const;
  /// Payload bytes of that frame; `corrupt` when it cannot be one.
  Result<std::size_t> payload_bytes() const;
  /// Opens it; the payload goes to `to`, which has payload_bytes(). After an error its content is undefined.
  Result<FrameHeader> open(std::byte* to);
  /// Whether bytes lie sent again and again, and the peer's host has acknowledged nothing at all for so long: it is cut
  /// off. A process that stands still does not count, its host acknowledges for it; and only whoever has been waiting
  /// for so long may ask, as a link may have been idle before.
  bool unacknowledged(double seconds) const;
  /// Why the connection ended, naming the peer.
  Error ended_error() const;

 private:
  void make_room(std::size_t bytes_max);
  std::span<const std::byte> unread() const { return {inbox_.get() + in_begin_, in_end_ - in_begin_}; }
  std::size_t frame_bytes() const;

  Socket socket_;
  FrameCipher seal_, open_;
  std::string name_;
  std::unique_ptr<std::byte[]> outbox_, inbox_;
  std::size_t out_capacity_ = 0, out_begin_ = 0, out_end_ = 0;
  std::size_t in_capacity_ = 0, in_begin_ = 0, in_end_ = 0;
  bool ended_ = false;
  int error_ = 0;
};

}  // namespace tessera
