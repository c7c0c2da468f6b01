// GenerationSink: where the answer of a generation goes: the answer of an HTTP request, the messages of a WebSocket.
// What is said is a GenerationReply's business.
#pragma once

#include <kj/async.h>
#include <vector>

#include "gateway/api_error.hpp"
#include "gateway/json_body.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::gateway {

struct CallRecord;

/// Of one generation, on its loop's thread. The caller awaits each promise before the next call; dropping one cuts the
/// client off; what is given lives until the call returns. Either whole(), or tell() any number of times and then
/// end(), or fail() at any time.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;

  /// When the request came.
  virtual TimePoint asked() const = 0;
  /// Whether its client wants to be told where the time went.
  virtual bool wants_trace() const = 0;
  /// What is logged of the connection's request.
  virtual CallRecord& record() = 0;
  /// The answer in one piece.
  virtual kj::Promise<void> whole(const Json& answer) = 0;
  /// At least one event of a stream.
  virtual kj::Promise<void> tell(const std::vector<Json>& events) = 0;
  /// The last events, maybe none, and what stands behind them where they are server-sent.
  virtual kj::Promise<void> end(const std::vector<Json>& events, const char* mark) = 0;
  /// Before anything was told an answer of its own; later the last event, `event`.
  virtual kj::Promise<void> fail(const ApiError& error, const Json& event) = 0;
  /// Fulfilled when nothing was told for so long that the client may wonder; maybe never.
  virtual kj::Promise<void> quiet() = 0;
  /// Shows that the connection lives.
  virtual kj::Promise<void> show_life() = 0;
};

}  // namespace tessera::gateway
