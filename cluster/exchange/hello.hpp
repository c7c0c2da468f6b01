// The first words on a data connection, in the clear: who calls whom, in which epoch, and how (schemas/exchange.capnp).
// Pure functions over bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/exchange/options.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// 2: partial sums go by token rows from 64 KB spared (both ends decide alike).
inline constexpr std::uint32_t data_protocol_version = 3;
inline constexpr std::size_t hello_prefix_bytes = 8;
inline constexpr std::size_t hello_bytes_max = 1024;  ///< behind the prefix
inline constexpr std::size_t refusal_text_bytes_max = 256;

using HelloNonce = std::array<std::uint8_t, 32>;

struct Hello {
  std::uint32_t version = data_protocol_version;
  std::string cluster;
  ReplicaId replica;
  Epoch epoch;
  ParticipantIndex from;
  ParticipantIndex to;
  bool encrypted = true;
  HelloNonce nonce{};
};

enum class RefusalReason : std::uint8_t { version, cluster, mode, busy };
struct Refusal {
  RefusalReason reason = RefusalReason::busy;
  std::string text;
};

using HelloMessage = std::variant<Hello, Refusal>;

/// Prefix included.
std::vector<std::byte> encode_hello(const HelloMessage& message);
/// Length of the message behind a prefix. `corrupt` for anything that is not one.
Result<std::size_t> hello_length(std::span<const std::byte, hello_prefix_bytes> prefix);
/// `bytes`: all, prefix included.
Result<HelloMessage> decode_hello(std::span<const std::byte> bytes);

/// Why a hello that this node got is refused, if it is: another version, cluster or mode.
std::optional<Refusal> check_hello(const Hello& hello, const ExchangeOptions& options);

}  // namespace tessera
