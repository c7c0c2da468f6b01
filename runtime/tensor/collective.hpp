// Collective: how the shards of one replica exchange vectors inside a step. The model knows only this interface;
// in-process shards (runtime/model/local_collective) and the network (cluster/exchange) implement it.
//
// All ranks call the same operations in the same order. A rank that fails breaks the collective: every other rank's
// call returns an error.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Names one exchange inside a step, so that frames of different exchanges can never be taken for each other.
enum class ExchangeOp : std::uint8_t { attention_out, ffn_down, logits };
struct ExchangeTag {
  std::uint64_t step = 0;
  std::uint32_t layer = 0;
  ExchangeOp op = ExchangeOp::attention_out;
  bool operator==(const ExchangeTag&) const = default;
};

/// Confined to the thread of its rank.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual ShardRank rank() const = 0;
  virtual std::uint32_t size() const = 0;

  /// Every rank contributes counts[rank] floats at `mine`; all contributions arrive in `all`, in rank order. `all` has
  /// the sum of counts. `mine` may not overlap `all`. On return every peer has finished reading `mine`.
  virtual Result<void> all_gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                                  std::span<float> all) = 0;
  /// The same, but only rank 0 receives; `all` may be empty elsewhere.
  virtual Result<void> gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                              std::span<float> all) = 0;
};

}  // namespace tessera
