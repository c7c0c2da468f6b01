// GenerationTrace: where the time of one request went. Told beside its answer to whoever asks with the header
// X-Tessera-Trace: 1, as "tessera_trace" in the answer's object, or in the last event of a stream.
//
//   {"total_ms": 41.2, "tokenization_ms": 0.3, "first_token_ms": 9.8,
//    "choices": [{"queue_ms": 0.1, "prefill_ms": 8.9, "decode_ms": 31.2, "steps": 17, "cached_tokens": 0}]}
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <tessera/generation.hpp>

#include "gateway/json_body.hpp"

namespace tessera::gateway {

struct TracedChoice {
  std::optional<client::StreamPhases> phases;  ///< none: it has no token
  std::uint32_t cached_tokens = 0;             ///< of its prompt
};

struct GenerationTrace {
  double total_seconds = 0;                    ///< from the request's head to the end of its last choice
  std::optional<double> tokenization_seconds;  ///< from its body to token ids, templates included
  std::optional<double> first_token_seconds;   ///< from its head to the first token of any choice
  std::vector<TracedChoice> choices;           ///< prompt by prompt
};

/// In milliseconds, to the microsecond. What is not known is absent.
Json to_json(const GenerationTrace& trace);

}  // namespace tessera::gateway
