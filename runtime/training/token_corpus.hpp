// TokenCorpus: the tokens that a model learns from, and which of them come when. The order is a function of the seed
// and the step alone: whoever resumes at a step, or computes only some of its micro-batches, reads the same ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/training/micro_batch.hpp"

namespace tessera {

/// A micro-batch with tokens of its own.
struct OwnedMicroBatch {
  std::vector<TokenId> inputs, targets;
  MicroBatch view;
};

/// Immutable; any thread.
class TokenCorpus {
 public:
  /// Documents one behind the other, each ended by its end token. `name`: for messages. Errors: invalid_argument when
  /// there are fewer than length + 1 tokens, or one outside of the vocabulary.
  static Result<TokenCorpus> create(std::vector<TokenId> tokens, std::uint32_t length, std::uint32_t vocab_size,
                                    const std::string& name);

  std::size_t size() const { return tokens_.size(); }
  std::uint32_t length() const { return length_; }

  /// Micro-batch `index` of step `step`: windows of length + 1 tokens at uniform places drawn by (seed, step, index,
  /// sequence).
  OwnedMicroBatch random(std::uint64_t seed, std::uint64_t step, std::uint32_t index, std::uint32_t sequences) const;

  /// All windows in order, without overlap: for validation. The last tokens that fill no window are left out.
  std::size_t windows() const { return (tokens_.size() - 1) / length_; }
  OwnedMicroBatch in_order(std::size_t first_window, std::uint32_t sequences) const;

 private:
  TokenCorpus(std::vector<TokenId> tokens, std::uint32_t length) : tokens_(std::move(tokens)), length_(length) {}
  void take(std::size_t place, OwnedMicroBatch& batch) const;

  std::vector<TokenId> tokens_;
  std::uint32_t length_;
};

}  // namespace tessera
