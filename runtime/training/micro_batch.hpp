// MicroBatch: the leaf of training. Its gradient is computed by itself, and gradients of the micro-batches of a step
// are added by the canonical tree: however many threads or workers share the leaves, the sum has the same bits.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/base/ids.hpp"

namespace tessera {

/// `sequences` rows of `length` tokens each. A value; the tokens are the owner's.
struct MicroBatch {
  std::uint32_t sequences = 0;
  std::uint32_t length = 0;
  std::span<const TokenId> inputs;   ///< [sequences][length], inside the vocabulary
  std::span<const TokenId> targets;  ///< [sequences][length]: the token to predict; -1: none
  std::uint32_t rows() const { return sequences * length; }
};

}  // namespace tessera
