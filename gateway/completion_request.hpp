// The body of POST /v1/completions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/generation_fields.hpp"

namespace tessera::gateway {

inline constexpr std::size_t prompts_max = 2048;
inline constexpr std::uint32_t completion_tokens_default = 16;

/// A prompt as text, or as token ids where the client has tokenized it.
struct CompletionPrompt {
  std::string text = {};
  std::vector<TokenId> ids = {};
  bool is_text = true;
};

struct CompletionRequest {
  GenerationFields generation;
  std::vector<CompletionPrompt> prompts;  ///< at least one
  bool echo = false;                      ///< the prompt before the completion
  std::optional<std::uint32_t> logprobs;  ///< alternatives beside the sampled token; 0: its own alone
};

/// One or several texts or lists of ids, as `field` has them. Errors: 400 that name the field.
Outcome<std::vector<CompletionPrompt>> read_prompts(const Json* value, const std::string& field);

/// Errors: 400 that name the field.
Outcome<CompletionRequest> parse_completion(const Json& body);

}  // namespace tessera::gateway
