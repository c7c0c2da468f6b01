// What requests of all families have in common: how to sample, when to stop, and how to answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/json_fields.hpp"
#include "runtime/batching/generation_types.hpp"

namespace tessera::gateway {

inline constexpr std::int64_t choices_max = 128;
inline constexpr std::size_t stop_texts_max = 4;
/// A stream cannot be given more time.
inline constexpr std::int64_t timeout_seconds_max = 24 * 3600;
inline constexpr std::int64_t tokens_max_max = std::int64_t{1} << 31;
/// Of a prompt row that asks for no number of tokens.
inline constexpr std::uint32_t row_tokens_default = 256;

struct GenerationFields {
  std::string model;
  SamplingParameters sampling;  ///< its seed counts only if `seed_given`
  bool seed_given = false;
  std::uint32_t choices = 1;                     ///< n
  std::optional<std::uint32_t> tokens_max = {};  ///< to generate at most; none: the protocol's default
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool stream = false;
  bool include_usage = false;            ///< one more chunk at the end of a stream
  bool return_token_ids = false;         ///< also the ids of prompt and output
  std::int32_t priority = 0;             ///< lower is earlier
  std::string session = {};              ///< the conversation's name, from prompt_cache_key or user; empty: none
  std::chrono::milliseconds timeout{0};  ///< of each stream, from the request's arrival to its end; 0: no such time
};

/// Reads them all, tokens_max excepted, which the protocols name and default differently. OpenAI's fields, and beside
/// them top_k, min_p, repetition_penalty, ignore_eos, return_token_ids and priority (lower is earlier, 0 where it is
/// left out) as vLLM has them, and timeout (seconds, also fractions) as LiteLLM has it.
GenerationFields read_generation_fields(JsonFields& fields);

/// Those that a prompt row can have (prompt_row.hpp), with the names, ranges and defaults of completions: temperature,
/// top_p, top_k, min_p, presence_penalty, frequency_penalty, repetition_penalty, seed, stop, ignore_eos and max_tokens,
/// which has a default of its own.
GenerationFields read_row_parameters(JsonFields& fields);

/// Beside them, for the families that have no words of their own for it: priority as above, and timeout in seconds, of
/// which 0 is none.
void read_row_schedule(JsonFields& fields, GenerationFields& out);

}  // namespace tessera::gateway
