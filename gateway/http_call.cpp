#include "gateway/http_call.hpp"

#include <algorithm>
#include <kj/debug.h>

#include <nlohmann/json.hpp>

#include "gateway/error_shape.hpp"
#include "gateway/sse.hpp"

namespace tessera::gateway {

namespace {

/// Of one read; the first of a body of unknown length is smaller, as most are short and stay while their answer
/// streams.
constexpr std::size_t read_bytes_max = 64u << 10, read_bytes_first = 2u << 10;
/// Of one write, so that a client counts as alive as long as it takes this much in time.
constexpr std::size_t write_bytes = 64u << 10;

ApiError too_large(std::size_t bytes_max) {
  return {413,
          "invalid_request_error",
          "the body is larger than " + std::to_string(bytes_max) + " bytes",
          {},
          "request_too_large"};
}

ApiError too_slow(std::chrono::milliseconds time) {
  return {408,
          "invalid_request_error",
          "the body did not come within " + std::to_string(time.count() / 1000) + " s",
          {},
          "request_timeout"};
}

}  // namespace

HttpCall::HttpCall(HttpRequestFacts request, TimePoint arrived, const GatewayOptions& options, kj::Timer& timer,
                   const kj::HttpHeaderTable& table, kj::AsyncInputStream& body, kj::HttpService::Response& response)
    : request_(std::move(request)),
      arrived_(arrived),
      options_(options),
      timer_(timer),
      table_(table),
      body_(body),
      response_(response) {}

kj::Promise<Outcome<std::string>> HttpCall::read_body() {
  const std::size_t bytes_max = options_.body_bytes_max;
  KJ_IF_MAYBE (length, body_.tryGetLength()) {
    if (*length > bytes_max) return Outcome<std::string>(too_large(bytes_max));
  }
  auto late = timer_.afterDelay(to_kj(options_.body_timeout)).then([this]() -> Outcome<std::string> {
    return too_slow(options_.body_timeout);
  });
  return read_more()
      .then([this, bytes_max]() -> Outcome<std::string> {
        if (received_.size() > bytes_max) return too_large(bytes_max);
        return std::move(received_);
      })
      .exclusiveJoin(kj::mv(late));
}

kj::Promise<void> HttpCall::read_more() {
  if (received_.size() > options_.body_bytes_max) return kj::READY_NOW;
  const std::size_t had = received_.size();
  std::size_t wanted = std::max(had, read_bytes_first);
  // What is left of it, which is nothing at its end; a byte to notice that.
  KJ_IF_MAYBE (length, body_.tryGetLength()) wanted = static_cast<std::size_t>(*length) + 1;
  wanted = std::min(wanted, read_bytes_max);
  received_.resize(had + wanted);
  return body_.tryRead(received_.data() + had, 1, wanted).then([this, had](std::size_t count) -> kj::Promise<void> {
    received_.resize(had + count);
    return count == 0 ? kj::Promise<void>(kj::READY_NOW) : read_more();
  });
}

kj::Own<kj::AsyncOutputStream> HttpCall::begin(int status, const std::string& content_type, const ExtraHeaders& extra,
                                               kj::Maybe<std::uint64_t> bytes) {
  status_ = status;
  kj::HttpHeaders headers(table_);
  if (!content_type.empty()) headers.set(kj::HttpHeaderId::CONTENT_TYPE, kj::str(content_type.c_str()));
  headers.add(kj::str("X-Request-Id"), kj::str(request_.request_id.c_str()));
  headers.add(kj::str("X-Content-Type-Options"), kj::str("nosniff"));
  for (const auto& [name, value] : extra) headers.add(kj::str(name.c_str()), kj::str(value.c_str()));
  if (standing_headers) {
    for (const auto& [name, value] : standing_headers()) headers.add(kj::str(name.c_str()), kj::str(value.c_str()));
  }
  return response_.send(static_cast<kj::uint>(status), status_text(status), headers, bytes);
}

kj::Promise<void> HttpCall::send(int status, std::string content_type, std::string body, ExtraHeaders headers) {
  auto stream = begin(status, content_type, headers, std::uint64_t{body.size()});
  auto sent = write_to(*stream, std::move(body));
  return sent.attach(kj::mv(stream));
}

kj::Promise<void> HttpCall::send_json(int status, std::string json, ExtraHeaders headers) {
  return send(status, "application/json", std::move(json), std::move(headers));
}

kj::Promise<void> HttpCall::send_error(const ApiError& error, ExtraHeaders headers) {
  if (error.retry_after_s) headers.emplace_back("Retry-After", std::to_string(*error.retry_after_s));
  if (error.status == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
  // What failed here would fail again.
  if (error.status == 500 || error.status == 409) headers.emplace_back("X-Should-Retry", "false");
  const ErrorAnswer answer = shaped_error(error, error_shape_of(request_.path));
  return send_json(answer.status, to_text(answer.body), std::move(headers));
}

kj::Own<kj::WebSocket> HttpCall::accept_web_socket() {
  status_ = 101;
  kj::HttpHeaders headers(table_);
  headers.add(kj::str("X-Request-Id"), kj::str(request_.request_id.c_str()));
  return response_.acceptWebSocket(headers);
}

void HttpCall::begin_stream(ExtraHeaders headers) {
  headers.emplace_back("Cache-Control", "no-cache");
  stream_ = begin(200, "text/event-stream; charset=utf-8", headers, nullptr);
}

kj::Promise<void> HttpCall::write(std::string piece) { return write_to(*stream_, std::move(piece)); }

kj::Promise<void> HttpCall::write_to(kj::AsyncOutputStream& stream, std::string piece) {
  struct Writing {
    kj::AsyncOutputStream& stream;
    kj::Timer& timer;
    const kj::Duration patience;
    std::uint64_t& bytes;
    const std::string text;
    std::size_t done = 0;
    kj::Promise<void> next() {
      if (done >= text.size()) return kj::READY_NOW;
      const std::size_t count = std::min(write_bytes, text.size() - done);
      auto late = timer.afterDelay(patience).then(
          []() -> kj::Promise<void> { return KJ_EXCEPTION(DISCONNECTED, "the client takes no data"); });
      return stream.write(text.data() + done, count).exclusiveJoin(kj::mv(late)).then([this, count] {
        done += count;
        bytes += count;
        return next();
      });
    }
  };
  auto writing = kj::heap<Writing>(Writing{stream, timer_, to_kj(options_.write_timeout), bytes_, std::move(piece)});
  auto promise = writing->next();
  return promise.attach(kj::mv(writing));
}

}  // namespace tessera::gateway
