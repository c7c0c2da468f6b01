// Collective: how the shards of one pipeline stage exchange vectors inside a step, and StageLink: how one stage hands
// the residual stream to the next. The model knows only these interfaces; in-process shards
// (runtime/model/local_collective) and the network (cluster/exchange) implement them.
//
// All ranks call the same operations in the same order. A rank that fails breaks the collective: every other rank's
// call returns an error.
//
// Large payloads go by token rows, so that nobody receives what it does not finish itself:
//
//   small   all_gather(partial sums)                        everyone finishes the tree of all rows
//   large   all_to_all(partial sums of rows R_j to rank j)  rank j finishes the tree of rows R_j
//           all_gather(finished rows, in place)
//
// Both give the same bits, since a row's tree does not depend on who finishes it.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Names one exchange inside a step, so that frames of different exchanges can never be taken for each other.
enum class ExchangeOp : std::uint8_t {
  attention_out,
  ffn_down,
  logits,
  attention_out_rows,  ///< second phase by token rows: the finished rows
  ffn_down_rows,
  stage_input,  ///< the residual stream from one stage to the next; `layer` is the first layer of the receiver
};
struct ExchangeTag {
  std::uint64_t step = 0;
  std::uint32_t layer = 0;
  ExchangeOp op = ExchangeOp::attention_out;
  bool operator==(const ExchangeTag&) const = default;
};

/// What one rank sends to one other rank: runs of floats that arrive one behind the other.
using Segments = std::span<const std::span<const float>>;

/// Confined to the thread of its rank.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual ShardRank rank() const = 0;
  virtual std::uint32_t size() const = 0;

  /// Every rank contributes counts[rank] floats at `mine`; all contributions arrive in `all`, in rank order. `all` has
  /// the sum of counts. `mine` lies outside of `all`, or is exactly its own place in it. On return `mine` may change.
  virtual Result<void> all_gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                                  std::span<float> all) = 0;
  /// The same, but only rank 0 receives; `all` may be empty elsewhere.
  virtual Result<void> gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                              std::span<float> all) = 0;
  /// Every rank sends send[r] to each rank r and gets into receive[r] what r sends to it; receive[r] has exactly that
  /// many floats, which both ends know. Both have size() entries; the own entry is copied (both may be empty). What is
  /// sent and what is received may not overlap. On return the sent memory may change.
  virtual Result<void> all_to_all(ExchangeTag tag, std::span<const Segments> send,
                                  std::span<const std::span<float>> receive) = 0;

  /// Whether all_to_all by token rows, then all_gather of the finished rows, is faster than one all_gather by which a
  /// rank receives `spared` bytes more. The same answer on every rank.
  virtual bool prefer_scatter(std::uint64_t spared) const = 0;
};

/// Between the ranks of neighbouring stages: rank j of a stage receives from rank j mod P of the previous one, which
/// has P ranks. Confined to the thread of its rank.
class StageLink {
 public:
  virtual ~StageLink() = default;
  /// Sends `x` to the ranks of the next stage that this rank serves (none, one or several). On return `x` may change.
  /// Not called in the last stage.
  virtual Result<void> send(ExchangeTag tag, std::span<const float> x) = 0;
  /// Receives exactly x.size() floats, which both ends know. Not called in the first stage.
  virtual Result<void> receive(ExchangeTag tag, std::span<float> x) = 0;
};

}  // namespace tessera
