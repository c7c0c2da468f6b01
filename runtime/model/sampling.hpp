// Sampling: from the logits of one row to one token, the same on every machine (docs/exactness.md, "Sampling").
//
//   raw logits → bias → repeat, presence, frequency penalties → temperature → top-k → top-p → min-p → draw
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/abi/kernel_abi.h"
#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/batching/generation_types.hpp"
#include "runtime/model/ordered_candidates.hpp"

namespace tessera {

/// Ranges, finiteness, and ids inside the vocabulary; the error names the parameter.
Result<void> validate(const SamplingParameters& parameters, std::uint32_t vocab_size);

/// Memory for drawing from one row, to be used again and again by one thread.
struct SamplingScratch {
  std::vector<float> values;  ///< logits after bias, penalties and temperature
  CandidateScratch candidates;
};

/// log softmax of the raw logits over the whole vocabulary; cheap to ask for several tokens.
class LogProbabilities {
 public:
  /// `logits` are finite and outlive the object.
  LogProbabilities(const tessera_op_table& ops, std::span<const float> logits);
  float of(TokenId token) const;
  /// The `count` most probable tokens, or all that there are.
  TokenAlternatives best(std::uint32_t count, SamplingScratch& scratch) const;
  /// The token with the largest logit, the lowest id among equals.
  TokenId best() const { return best_; }

 private:
  std::span<const float> logits_;
  TokenId best_;
  double max_;
  double log_sum_;
};

/// The tokens of a prompt and of what was sampled behind it.
class TokenHistory {
 public:
  struct Entry {
    TokenId token;
    std::uint32_t sampled;  ///< times; 0: it is in the prompt only
  };
  explicit TokenHistory(std::span<const TokenId> prompt);
  void take(TokenId token);
  /// One for each token, by id.
  std::span<const Entry> entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

/// Draws the tokens of one choice of one stream. Small: many streams wait at a time. Confined to one thread at a time.
class Sampler {
 public:
  /// `prompt` counts for the repeat penalty; its tokens, and those of take(), are inside the vocabulary of the logits.
  Sampler(const tessera_op_table& ops, SamplingParameters parameters, std::span<const TokenId> prompt);

  /// The token at `position` (of the whole sequence, prompt included), and takes it into the history for penalties. A
  /// pure function of logits, parameters, history, choice and position.
  TokenId sample(std::span<const float> logits, std::uint32_t position, SamplingScratch& scratch);
  /// Takes a token that was sampled before, by another sampler of the same choice, into the history.
  void take(TokenId token);

 private:
  void adjust(std::span<const float> logits, std::vector<float>& values) const;
  TokenId draw(std::uint32_t position, SamplingScratch& scratch) const;

  const tessera_op_table& ops_;
  SamplingParameters parameters_;
  bool penalties_;
  TokenHistory history_;  ///< empty without penalties
};

/// Sum of exp(x - shift) over the vocabulary: per vocabulary slice in lane order, slices by the canonical tree.
float vocabulary_exp_sum(const tessera_op_table& ops, std::span<const float> x, float shift);

}  // namespace tessera
