// The commands that the participants of an epoch send each other over its mesh, as plain data, and their bytes. What
// they mean for a replica is said in schemas/exchange.capnp; who sends them when, in cluster/executor.
//
// Decoding trusts nobody: every size is checked before it is allocated, every index lies inside what it counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/control/stream.hpp"
#include "runtime/base/ids.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

/// Sequences of one transfer.
inline constexpr std::uint32_t transfer_sequences_max = 4096;
inline constexpr std::uint32_t logit_biases_max = 4096;
inline constexpr std::uint32_t end_tokens_max = 256;
inline constexpr std::size_t error_text_bytes_max = 4096;
inline constexpr std::size_t deployment_name_bytes_max = 256;

/// What the receiver knows about the epoch; indices in a command must lie inside. Defaults: the widest that is allowed.
struct CommandLimits {
  std::uint32_t vocab_size = limits::vocab_size_max;
  std::uint32_t context_length = limits::context_length_max;
  std::uint32_t kv_pages = UINT32_MAX;
  std::uint32_t layers = limits::layers_max;
  std::uint32_t kv_heads = limits::heads_max;
};

/// Run this step with your shard. From the root to every other rank.
struct StepCommand {
  struct Row {
    TokenId token = 0;
    std::uint32_t position = 0;
    std::uint32_t sequence = 0;  ///< index into sequences
    bool wants_logits = false;
    bool wants_hidden = false;
    bool operator==(const Row&) const = default;
  };
  std::uint64_t number = 0;
  std::vector<Row> rows;  ///< 1 .. limits::sequence_rows_max; what the model allows is looked at later
  /// Pages of each sequence that has rows here, at most one per row; they cover the positions of its rows.
  std::vector<std::vector<PageId>> sequences;
};

/// This epoch computes from now on, as this conductor: fence all older ones, and answer with an ack. From the root.
struct BeginCommand {
  ConductorIncarnation incarnation;
  std::uint64_t next_step = 0;
};

/// A sequence that changes from one epoch to the next.
struct TransferSequence {
  StreamRequest request;
  std::vector<TokenId> generated;  ///< all output tokens so far, request.delivered included
  std::vector<PageId> pages;
  std::uint32_t computed = 0;  ///< positions whose K and V are valid; the pages cover them
  std::uint32_t scored = 0;    ///< prompt scores that were sent
};

/// The old conductor's last word: what it knew, and which pages hold it. To every participant of the new epoch.
struct TransferCommand {
  Epoch from;
  ConductorIncarnation incarnation;  ///< of the new epoch's conductor
  std::uint64_t next_step = 0;
  std::vector<PageId> pages;  ///< in use, of all sequences; ascending
  std::vector<TransferSequence> sequences;
};

/// K and V of some pages, for the layers and heads that a new owner needs. `payload` holds, for each layer, for each KV
/// head: the pages' K one after the other, then their V; each page `page_bytes` long.
struct KvPagesCommand {
  SliceRange layers;
  SliceRange kv_heads;  ///< of the whole model
  std::uint32_t page_bytes = 0;
  std::vector<PageId> pages;
  std::span<const std::byte> payload;  ///< decoded: points into the command's bytes

  std::uint64_t payload_bytes() const {
    return std::uint64_t{2} * layers.count() * kv_heads.count() * pages.size() * page_bytes;
  }
};

/// Answers a begin, a transfer, or says that something cannot go on.
struct AckCommand {
  enum class Of : std::uint8_t { begin, transfer, step };
  Of of = Of::begin;
  std::uint64_t step = 0;
  Result<void> result;
};

/// The right to compute on a node that several replicas share (cluster/executor/lease_desk.hpp).
struct LeaseCommand {
  enum class Action : std::uint8_t { acquire, grant, release };
  Action action = Action::acquire;
  std::uint64_t ticket = 0;  ///< drawn by who acquires; grant and release name it
};

using Command = std::variant<StepCommand, BeginCommand, TransferCommand, KvPagesCommand, AckCommand, LeaseCommand>;

/// "step", "transfer" …
const char* name_of(const Command& command);

/// Makes commands into bytes; keeps its buffer. Confined to one thread.
class CommandEncoder {
 public:
  CommandEncoder();
  ~CommandEncoder();
  CommandEncoder(const CommandEncoder&) = delete;
  CommandEncoder& operator=(const CommandEncoder&) = delete;

  /// Valid until the next call. The caller keeps commands below command_bytes_max (KV pages by few pages at a time).
  std::span<const std::byte> encode(const Command& command);
  /// KV pages whose payload lies in pieces; command.payload is not looked at.
  std::span<const std::byte> encode(const KvPagesCommand& command, std::span<const std::span<const std::byte>> payload);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// `bytes` is 8-byte aligned (as receive_command gives it) and outlives a KvPagesCommand's payload. `corrupt` names the
/// command and the field.
Result<Command> decode_command(std::span<const std::byte> bytes, const CommandLimits& limits);

}  // namespace tessera
