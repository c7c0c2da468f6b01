// What a generation is asked for, and how it can end: plain data that clients, conductor and sampler share.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/base/ids.hpp"

namespace tessera {

struct SamplingParameters {
  float temperature = 0.0f;     ///< 0: always the best token
  std::uint32_t top_k = 0;      ///< 0: all
  float top_p = 1.0f;           ///< (0, 1]
  float min_p = 0.0f;           ///< [0, 1]: relative to the best token's probability
  float repeat_penalty = 1.0f;  ///< > 0; divides positive and multiplies negative logits of tokens in prompt or output
  float presence_penalty = 0.0f;                           ///< subtracted once from tokens in the output
  float frequency_penalty = 0.0f;                          ///< subtracted per occurrence in the output
  std::vector<std::pair<TokenId, float>> logit_bias = {};  ///< added to the raw logit
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;  ///< tells several completions of one request apart: each draws for itself
};

/// A token that could have stood in the place of another.
struct TokenAlternative {
  TokenId token = 0;
  float log_probability = 0;
  bool operator==(const TokenAlternative&) const = default;
};
/// Those with the largest log-probabilities, in that order, the lower id first among equals.
using TokenAlternatives = std::vector<TokenAlternative>;

/// Which hidden states of its prompt a stream wants, instead of tokens: they are pooled into the vector of a text.
enum class HiddenStates : std::uint8_t { none, all, first, last };

enum class FinishReason : std::uint8_t {
  end_token,  ///< an end token was sampled
  length,     ///< tokens_max, or the model's context, is used up; or all hidden states that were wanted are computed
  stopped,    ///< the callback said stop
};
const char* to_string(FinishReason reason);

}  // namespace tessera
