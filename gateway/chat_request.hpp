// The body of POST /v1/chat/completions.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/generation_fields.hpp"

namespace tessera::gateway {

inline constexpr std::size_t messages_max = 4096;

struct ChatRequest {
  GenerationFields generation;
  Json messages = Json::array();  ///< as chat templates take them: {"role", "content": a text, …}
  Json template_variables = Json::object();
  bool logprobs = false;
  std::uint32_t top_logprobs = 0;
};

/// Errors: 400 that name the field. Tools, structured output and content that is no text are refused.
Outcome<ChatRequest> parse_chat(const Json& body);

/// Messages of a request, as ChatRequest has them; nullptr: the request has none, which is an error, too.
Outcome<Json> read_messages(const Json* list);

}  // namespace tessera::gateway
