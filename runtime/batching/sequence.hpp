// What the conductor's policy keeps of one stream: the request, the tokens so far, and how much of it the KV pages
// hold.
//
//   prompt      p0 p1 p2 p3
//   generated               g0 g1 g2          the next token to sample has position 7 (prompt + generated)
//   computed    ^^^^^^^^^^^^^^^^^^^           positions whose K and V are in the pages: all but the last token's
//
// Plain data, so that it can be handed from one conductor to the next.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/batching/generation_types.hpp"

namespace tessera {

/// Names a sequence; the cluster puts a StreamId's two halves in.
struct SequenceKey {
  std::uint64_t high = 0, low = 0;
  auto operator<=>(const SequenceKey&) const = default;
};

/// Everything that the tokens of a stream depend on, beside the model.
struct SequenceSpec {
  SequenceKey key;
  std::vector<TokenId> prompt;     ///< at least one token
  std::vector<TokenId> delivered;  ///< tokens that the frontend has already; computing goes on behind them
  std::uint32_t tokens_max = 256;  ///< delivered ones included; 0: only evaluate the prompt
  SamplingParameters sampling;     ///< not looked at by the policy: carried for whoever samples
  std::vector<TokenId> end_tokens;
  bool score_prompt = false;  ///< also report the log-probability of every prompt token but the first
  /// Tokens with the largest log-probabilities to report beside each sampled or scored one; at most alternatives_max.
  std::uint32_t alternatives = 0;
  HiddenStates hidden = HiddenStates::none;  ///< others: no token and no score, so tokens_max is 0
  bool normalised = false;                   ///< the vector of the hidden states; not looked at by the policy
  std::string tenant_salt = {};  ///< KV pages are shared only among sequences of the same salt; no token depends on it
  std::int32_t priority = 0;     ///< lower is earlier; no token depends on it
};

/// One output token; `index` counts from 0.
struct SequenceToken {
  std::uint32_t index = 0;
  TokenId token = 0;
  float log_probability = 0;
  TokenAlternatives alternatives = {};
};

/// Log-probability of prompt token `index` (from 1).
struct SequenceScore {
  std::uint32_t index = 0;
  float log_probability = 0;
  TokenAlternatives alternatives = {};
};

/// What is new of one sequence. Tokens and scores come in order, each once (again only after a re-attachment that asks
/// for them). With `finished` or `failed` the sequence is gone from the core.
struct SequenceUpdate {
  SequenceKey key;
  std::vector<SequenceToken> tokens;
  std::vector<SequenceScore> scores;
  std::optional<FinishReason> finished;
  std::optional<Error> failed;
  std::uint32_t cached_tokens = 0;  ///< of the prompt, that others had computed; known with the first token
};

/// A sequence on its way from one conductor to the next.
struct SequenceState {
  SequenceSpec spec;
  std::vector<TokenId> generated;        ///< all output tokens so far, spec.delivered first
  std::vector<float> log_probabilities;  ///< of the last log_probabilities.size() generated tokens
  std::vector<float> scores;             ///< of prompt tokens 1 .. scores.size(), if the prompt is scored
  /// Beside each of log_probabilities, and each of scores; empty when none are wanted.
  std::vector<TokenAlternatives> alternatives, score_alternatives;
  std::uint32_t computed = 0;  ///< positions 0 .. computed - 1 have valid K and V in `pages`
  std::vector<PageId> pages;   ///< cover `computed` positions, or more; empty: nothing is computed
  bool detached = false;       ///< its frontend was away
};

/// Of prompt and output.
TokenId token_at(const SequenceState& sequence, std::uint32_t position);
/// Positions that have to be in the pages before the next token can be sampled, or all are scored.
std::uint32_t feed_end(const SequenceState& sequence);
/// Whether the logits of a prompt position are wanted for a score that is not known yet.
bool wants_score(const SequenceState& sequence, std::uint32_t position);
/// Whether the hidden state of a prompt position is wanted.
bool wants_hidden(const SequenceState& sequence, std::uint32_t position);
/// The first position of which more than K and V is wanted, or may be: those before it can be another one's work.
std::uint32_t first_logits(const SequenceState& sequence);

}  // namespace tessera
