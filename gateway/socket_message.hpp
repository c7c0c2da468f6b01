// What travels on a WebSocket of /v1/models/{}/stream: one JSON object a message.
//
//   to the server   {"id"?, "text" | "prompt" | "messages", parameters …}   as AMP's inputs (amp_request.hpp)
//                   {"type": "cancel"}                                      ends what runs and drops what waits
//   to the client   {"type": "text", "id"?, "text"}                         any number of them
//                   {"type": "end", "id"?, "finish_reason", "usage", "seed"}
//                   {"type": "error", "id"?, "error"}                       instead of the end
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/prompt_row.hpp"

namespace tessera::gateway {

inline constexpr std::size_t cancel_bytes_max = 256;

struct SocketRequest {
  std::optional<std::string> id;
  PromptRow row;
};

/// `id` is set as soon as it is known, so that an error can have it. Errors: 400.
Outcome<SocketRequest> parse_socket_request(std::string_view text, std::optional<std::string>& id);
/// Whether the message asks to cancel; longer ones than cancel_bytes_max do not, so that an event loop can ask.
bool is_cancel(std::string_view text);

/// Events; the seed is that of the plan.
std::unique_ptr<GenerationReply> make_socket_reply(const std::optional<std::string>& id, std::uint64_t seed);
Json socket_error_json(const std::optional<std::string>& id, const ApiError& error);
/// The end of a generation that its client has cancelled.
Json socket_cancelled_json(const std::optional<std::string>& id);

}  // namespace tessera::gateway
