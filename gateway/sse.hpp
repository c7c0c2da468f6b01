// Server-sent events: how a stream of JSON travels in one response (WHATWG HTML, "Server-sent events").
#pragma once

#include <string>

#include "gateway/json_body.hpp"

namespace tessera::gateway {

/// "data: {…}\n\n". JSON has no line feeds outside of its texts, where they are escaped, so one line is enough.
std::string sse_event(const Json& json);
/// The end of OpenAI's streams.
inline constexpr const char* sse_done = "data: [DONE]\n\n";
/// A comment, which clients skip: shows that the connection lives.
inline constexpr const char* sse_keep_alive = ": keep-alive\n\n";

/// JSON as it is sent: compact, invalid UTF-8 replaced.
std::string to_text(const Json& json);

}  // namespace tessera::gateway
