// Frames: what travels on a data connection after the hello (schemas/exchange.capnp). Sizes and headers only, pure
// functions over bytes; sealing is in frame_cipher.hpp.
//
//   | length: 4 | header: 72 | payload: 0 … frame_payload_max | tag: 16 |
//   |           |◄────────────── sealed ─────────────────────►|           in the plain mode there is no tag
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "cluster/control/ids.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

inline constexpr std::size_t frame_prefix_bytes = 4;
inline constexpr std::size_t frame_header_bytes = 72;
inline constexpr std::size_t frame_tag_bytes = 16;
inline constexpr std::size_t frame_payload_max = 128u << 10;
inline constexpr std::size_t frame_bytes_max =
    frame_prefix_bytes + frame_header_bytes + frame_payload_max + frame_tag_bytes;

enum class FrameKind : std::uint8_t { proof, exchange, command };

struct FrameHeader {
  FrameKind kind = FrameKind::proof;
  std::uint8_t op = 0;
  std::uint32_t layer = 0;
  std::uint64_t step = 0;
  ReplicaId replica;
  Epoch epoch;
  ConductorIncarnation incarnation;
  std::uint64_t offset = 0;  ///< bytes of the transfer before this payload
  std::uint64_t total = 0;   ///< bytes of the transfer
  bool operator==(const FrameHeader&) const = default;
};

/// "exchange frame of replica 1, epoch 7, incarnation 2, step 40, layer 3, op ffn_down, bytes 0 of 4096".
std::string describe(const FrameHeader& header);

using FrameHeaderBytes = std::span<std::byte, frame_header_bytes>;
/// `out` is 8-byte aligned.
void encode_frame_header(const FrameHeader& header, FrameHeaderBytes out);
/// `bytes` is 8-byte aligned. `corrupt` for anything that this version does not write.
Result<FrameHeader> decode_frame_header(std::span<const std::byte, frame_header_bytes> bytes);

/// What a frame's prefix says about the rest; tag_bytes is frame_tag_bytes or 0. `corrupt` for impossible lengths.
struct FrameSize {
  std::size_t bytes = 0;  ///< of the whole frame
  std::size_t payload = 0;
};
Result<FrameSize> decode_frame_prefix(std::span<const std::byte, frame_prefix_bytes> prefix, std::size_t tag_bytes);
void encode_frame_prefix(std::size_t payload, std::size_t tag_bytes, std::span<std::byte, frame_prefix_bytes> out);

}  // namespace tessera
