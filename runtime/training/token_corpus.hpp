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
  /// Documents one behind the other, each ended by its end token. `name`: for messages. Windows begin anywhere, or
  /// where `begins` (ascending, the first one 0) is not empty only there. Errors: invalid_argument when there are fewer
  /// than length + 1 tokens, or one outside of the vocabulary.
  static Result<TokenCorpus> create(std::vector<TokenId> tokens, std::uint32_t length, std::uint32_t vocab_size,
                                    const std::string& name, std::vector<std::size_t> begins = {});

  std::size_t size() const { return tokens_.size(); }
  std::uint32_t length() const { return length_; }

  /// Micro-batch `index` of step `step`: windows of `window` + 1 tokens, window at most length(), at places drawn by
  /// (seed, step, index, sequence), each with the same probability.
  OwnedMicroBatch random(std::uint64_t seed, std::uint64_t step, std::uint32_t index, std::uint32_t sequences,
                         std::uint32_t window) const;

  /// Windows of length() + 1 tokens in order, for validation: without overlap, or one at each of `begins`. The last
  /// tokens that fill no window are left out.
  std::size_t windows() const { return begins_.empty() ? (tokens_.size() - 1) / length_ : begins_.size(); }
  OwnedMicroBatch in_order(std::size_t first_window, std::uint32_t sequences) const;

 private:
  TokenCorpus(std::vector<TokenId> tokens, std::uint32_t length, std::vector<std::size_t> begins)
      : tokens_(std::move(tokens)), length_(length), begins_(std::move(begins)) {}
  void take(std::size_t place, std::uint32_t window, OwnedMicroBatch& batch) const;

  std::vector<TokenId> tokens_;
  std::uint32_t length_;
  std::vector<std::size_t> begins_;  ///< of documents that a window fits behind; empty: windows begin anywhere
};

}  // namespace tessera
