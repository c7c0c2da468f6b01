// HttpCall: one request and its answer, for the routes. Reads the body within limits, answers once, in one piece or as
// a stream, and cuts off clients that take nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <kj/async-io.h>
#include <kj/compat/http.h>
#include <kj/timer.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/api_error.hpp"
#include "gateway/options.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::gateway {

/// Beside content-type and x-request-id.
using ExtraHeaders = std::vector<std::pair<std::string, std::string>>;

/// What was asked for, copied out of the connection's buffer.
struct HttpRequestFacts {
  std::string method;
  std::string path;  ///< without the query, not decoded
  std::string host, origin;
  std::string asked_method, asked_headers;  ///< by a preflight: what a page wants to send
  std::string request_id;                   ///< the client's, or drawn
  std::size_t header_bytes = 0;
  bool opens_web_socket = false;  ///< by a whole handshake
  bool wants_trace = false;       ///< see generation_trace.hpp
};

/// What is remembered of a call, for the access log.
struct CallRecord {
  std::string key;  ///< the name of the one that was shown
  // Of a generation:
  std::string model;
  std::uint64_t prompt_tokens = 0, tokens = 0;
  std::string end;  ///< how it ended; empty: there was none
};

/// Of one request, on its loop's thread.
class HttpCall {
 public:
  HttpCall(HttpRequestFacts request, TimePoint arrived, const GatewayOptions& options, kj::Timer& timer,
           const kj::HttpHeaderTable& table, kj::AsyncInputStream& body, kj::HttpService::Response& response);

  const HttpRequestFacts& request() const { return request_; }
  /// What the route's pattern captured, decoded; see router.hpp.
  std::vector<std::string> captured;
  /// The pattern, for metrics; "other" where no route was found.
  std::string route = "other";
  CallRecord record;

  /// What every answer has, whoever gives it; asked for when an answer begins.
  std::function<ExtraHeaders()> standing_headers;
  /// Kept until the call is over: who asks, and the right to.
  std::shared_ptr<const void> held;

  /// The whole body. Refused with 413 or 408; rejected with DISCONNECTED when the client is gone.
  kj::Promise<Outcome<std::string>> read_body();

  /// The answer in one piece.
  kj::Promise<void> send(int status, std::string content_type, std::string body, ExtraHeaders headers = {});
  kj::Promise<void> send_json(int status, std::string json, ExtraHeaders headers = {});
  /// In the words of the path's family; see error_shape.hpp.
  kj::Promise<void> send_error(const ApiError& error, ExtraHeaders headers = {});

  /// Instead of an answer, where the request opens a WebSocket.
  kj::Own<kj::WebSocket> accept_web_socket();

  /// The head of an answer whose body comes in pieces.
  void begin_stream(ExtraHeaders headers = {});
  bool streams() const { return stream_.get() != nullptr; }
  /// One write after the other.
  kj::Promise<void> write(std::string piece);
  /// Ends the body; the connection can take the next request.
  void end_stream() { stream_ = nullptr; }

  /// Of the answer that was begun; 0: none was.
  int status() const { return status_; }
  /// Of the answer's body, that the connection has taken.
  std::uint64_t bytes() const { return bytes_; }
  TimePoint arrived() const { return arrived_; }
  kj::Timer& timer() { return timer_; }
  const GatewayOptions& options() const { return options_; }

 private:
  kj::Promise<void> read_more();
  kj::Promise<void> write_to(kj::AsyncOutputStream& stream, std::string piece);
  kj::Own<kj::AsyncOutputStream> begin(int status, const std::string& content_type, const ExtraHeaders& headers,
                                       kj::Maybe<std::uint64_t> bytes);

  const HttpRequestFacts request_;
  const TimePoint arrived_;
  int status_ = 0;
  std::uint64_t bytes_ = 0;
  const GatewayOptions& options_;
  kj::Timer& timer_;
  const kj::HttpHeaderTable& table_;
  kj::AsyncInputStream& body_;
  kj::HttpService::Response& response_;
  std::string received_;
  kj::Own<kj::AsyncOutputStream> stream_;
};

inline kj::Duration to_kj(std::chrono::milliseconds time) { return time.count() * kj::MILLISECONDS; }

}  // namespace tessera::gateway
