// GenerationReply: what a generation becomes in the words of one family of routes, as one object or as events of a
// stream. Every family has one; how it travels (an answer over HTTP, server-sent events, a WebSocket) is a
// GenerationSink's business.
//
//   choices ──► ChoicePiece ──► tell()   ──► events: {"choices": [{"delta": …}]}, {"text_output": "…"} …
//           └─► FinishedChoice ► whole() ──► {"predictions": […]} …
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/api_error.hpp"
#include "gateway/choice_text.hpp"
#include "gateway/json_body.hpp"

namespace tessera::gateway {

/// One choice of a whole answer.
struct FinishedChoice {
  std::string text;
  std::vector<TextToken> tokens;
  std::vector<TokenId> prompt_ids, ids;
  client::FinishReason reason = client::FinishReason::length;
};

struct Usage {
  std::uint64_t prompt_tokens = 0, completion_tokens = 0;
  std::uint64_t cached_tokens = 0;  ///< of the prompt, that earlier requests had computed
};

/// Makes JSON; confined to one thread.
class GenerationReply {
 public:
  virtual ~GenerationReply() = default;

  /// The answer in one piece. `choices` are those of the plan, in its order.
  virtual Json whole(const std::vector<FinishedChoice>& choices, const Usage& usage) const = 0;
  /// Appends the events that a piece becomes, and that of its choice's end. `begins`: it is the first of the choice.
  virtual void tell(std::size_t choice, bool begins, const ChoicePiece& piece, std::vector<Json>& events) = 0;
  /// Appends what comes behind the last choice's end.
  virtual void tell_end(const Usage& usage, std::vector<Json>& events) = 0;
  /// An event that says nothing new: where the last one is gone already, and a trace is to come with one.
  virtual Json quiet() const { return Json::object(); }
  /// The last event of a stream that failed.
  virtual Json failure(const ApiError& error) const = 0;
  /// What stands behind the last of a stream's server-sent events, as it is sent.
  virtual const char* end_mark() const { return ""; }
};

/// "stop" or "length".
const char* reason_text(client::FinishReason reason);
Json usage_json(const Usage& usage);

/// Of a family that has no streams: `whole` makes its answer.
std::unique_ptr<GenerationReply> make_whole_reply(std::function<Json(const std::vector<FinishedChoice>&)> whole);

}  // namespace tessera::gateway
