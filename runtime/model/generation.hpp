// generate(): one prompt becomes a stream of tokens on a local replica.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/base/result.hpp"
#include "runtime/model/local_replica.hpp"
#include "runtime/model/sampling.hpp"

namespace tessera {

struct GenerationRequest {
  std::vector<TokenId> prompt;     ///< at least one token, all inside the vocabulary
  std::uint32_t tokens_max = 256;  ///< 0: only evaluate the prompt
  SamplingParameters sampling;
  std::vector<TokenId> end_tokens;                      ///< any of these ends the stream (it is delivered first)
  std::uint32_t prefill_chunk = limits::step_rows_max;  ///< rows per prefill step
};

struct GenerationReport {
  FinishReason finish_reason = FinishReason::length;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t tokens = 0;
  double prefill_seconds = 0;      ///< until the logits of the last prompt token
  double first_token_seconds = 0;  ///< from the call until the first token was delivered; 0 without one
  double decode_seconds = 0;       ///< from the first token to the last
  double prompt_tokens_per_second() const { return prefill_seconds > 0 ? prompt_tokens / prefill_seconds : 0; }
  double tokens_per_second() const { return tokens > 1 && decode_seconds > 0 ? (tokens - 1) / decode_seconds : 0; }
};

/// One token and the log-probability that the raw logits give it. Returns false to stop.
using TokenCallback = std::function<bool(TokenId token, float log_probability)>;

/// Prompt and parameters against model and limits; the error says what to change.
Result<void> validate(const GenerationRequest& request, const ModelShape& shape);

/// Validates, prefills in chunks, decodes. `keep_going` is asked before every step (Ctrl-C): false gives an error
/// `cancelled`. The replica's pages are returned at the end.
Result<GenerationReport> generate(LocalReplica& replica, const GenerationRequest& request, const Clock& clock,
                                  const TokenCallback& on_token, const std::function<bool()>& keep_going);

/// Rows [begin, end) of a sequence as one step; only the last row wants logits when `last_wants_logits`. Used by
/// generate and perplexity.
std::vector<StepRow> sequence_rows(std::span<const TokenId> tokens, std::uint32_t begin, std::uint32_t end);

}  // namespace tessera
