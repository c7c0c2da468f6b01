#include "gateway/server_loop.hpp"

#include <kj/debug.h>
#include <string_view>

#include "gateway/origin.hpp"
#include "gateway/services.hpp"
#include "gateway/sse.hpp"
#include "runtime/base/log.hpp"

namespace tessera::gateway {

namespace {

constexpr std::size_t request_id_bytes_max = 128;
/// Of a body that nobody wants any more: read and dropped, so that its sender comes to read the answer.
constexpr kj::Duration upload_grace = 5 * kj::SECONDS;
constexpr std::size_t upload_grace_bytes = std::size_t{64} << 20;
/// What other servers log, too.
constexpr int status_client_gone = 499;

/// Told to a connection that is one too many, before it has asked anything.
kj::String busy_answer() {
  const std::string body =
      to_text(to_json(ApiError{503, "server_error", "this server has too many connections", {}, "connection_limit"}));
  return kj::str(
      "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: "
      "application/json\r\nContent-Length: ",
      body.size(), "\r\n\r\n", body.c_str());
}

std::string text_of(kj::Maybe<kj::StringPtr> value) {
  KJ_IF_MAYBE (text, value) {
    return std::string(text->cStr(), text->size());
  }
  return {};
}

/// A client's id is taken over where it can stand in a header and a log.
bool is_request_id(const std::string& text) {
  if (text.empty() || text.size() > request_id_bytes_max) return false;
  for (const char c : text) {
    if (c <= ' ' || c > '~') return false;
  }
  return true;
}

std::string draw_request_id() { return "req_" + draw_reply_id(); }

kj::HttpServerSettings server_settings(const GatewayOptions& options, kj::HttpServerErrorHandler& errors) {
  kj::HttpServerSettings settings;
  settings.headerTimeout = to_kj(options.header_timeout);
  settings.pipelineTimeout = to_kj(options.idle_timeout);
  // Who still sends when the answer (413) is there would not read it if the connection were reset.
  settings.canceledUploadGracePeriod = upload_grace;
  settings.canceledUploadGraceBytes = upload_grace_bytes;
  settings.errorHandler = errors;
  return settings;
}

kj::Own<kj::ConnectionReceiver> wrap_listener(kj::AsyncIoContext& io, int listener) {
  return io.lowLevelProvider->wrapListenSocketFd(listener, kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP |
                                                               kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC |
                                                               kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK);
}

}  // namespace

/// What kj gives the requests of one connection to.
class ServerLoop::Connection final : public kj::HttpService {
 public:
  Connection(ServerLoop& loop, kj::AsyncIoStream& stream) : loop_(loop), watch_(loop.io_.unixEventPort, stream) {}

  kj::Promise<void> request(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers,
                            kj::AsyncInputStream& body, Response& response) override {
    return loop_.request(method, url, headers, body, response, watch_);
  }

 private:
  ServerLoop& loop_;
  ConnectionWatch watch_;
};

ServerLoop::ServerLoop(kj::AsyncIoContext& io, int listener, const HttpShared& gateway)
    : io_(io),
      gateway_(gateway),
      request_id_(table_builder_.add("X-Request-Id")),
      origin_(table_builder_.add("Origin")),
      table_(table_builder_.build()),
      receiver_(wrap_listener(io, listener)),
      server_(
          io.provider->getTimer(), *table_,
          [this](kj::AsyncIoStream& stream) -> kj::Own<kj::HttpService> { return kj::heap<Connection>(*this, stream); },
          server_settings(gateway.options, *this)),
      connections_(*this),
      accepting_(accept().eagerlyEvaluate([](kj::Exception&& error) {
        log_error(std::string("the HTTP server accepts no more connections: ") + error.getDescription().cStr());
      })),
      draining_(kj::READY_NOW) {}

kj::Promise<void> ServerLoop::accept() {
  return receiver_->accept().then([this](kj::Own<kj::AsyncIoStream> stream) {
    if (gateway_.counters.connections.fetch_add(1) >= gateway_.options.connections_max) {
      connections_.add(refuse(kj::mv(stream)).attach(kj::defer([this] { --gateway_.counters.connections; })));
    } else {
      serve(kj::mv(stream));
    }
    return accept();
  });
}

void ServerLoop::serve(kj::Own<kj::AsyncIoStream> stream) {
  connections_.add(server_.listenHttp(kj::mv(stream)).attach(kj::defer([this] { --gateway_.counters.connections; })));
}

kj::Promise<void> ServerLoop::refuse(kj::Own<kj::AsyncIoStream> stream) {
  auto late = io_.provider->getTimer().afterDelay(1 * kj::SECONDS);
  auto text = busy_answer();
  auto told = stream->write(text.begin(), text.size());
  return told.exclusiveJoin(kj::mv(late)).attach(kj::mv(stream), kj::mv(text));
}

HttpRequestFacts ServerLoop::facts(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers) {
  HttpRequestFacts facts;
  facts.method = kj::str(method).cStr();
  facts.path = url.cStr();
  facts.path.resize(std::min(facts.path.size(), facts.path.find('?')));
  facts.host = text_of(headers.get(kj::HttpHeaderId::HOST));
  facts.origin = text_of(headers.get(origin_));
  facts.request_id = text_of(headers.get(request_id_));
  if (!is_request_id(facts.request_id)) facts.request_id = draw_request_id();
  facts.header_bytes = url.size();
  headers.forEach(
      [&](kj::StringPtr name, kj::StringPtr value) { facts.header_bytes += name.size() + value.size() + 4; });
  return facts;
}

kj::Promise<void> ServerLoop::request(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers,
                                      kj::AsyncInputStream& body, kj::HttpService::Response& response,
                                      ConnectionWatch& watch) {
  auto call = kj::heap<HttpCall>(facts(method, url, headers), gateway_.clock.now(), gateway_.options,
                                 io_.provider->getTimer(), *table_, body, response);
  auto answered = kj::evalNow([&] { return answer(*call); });
  auto end = kj::defer([this, &call = *call] { ended(call); });
  return answered.exclusiveJoin(watch.gone()).attach(kj::mv(end)).attach(kj::mv(call));
}

void ServerLoop::ended(const HttpCall& call) const {
  const double seconds = seconds_between(call.arrived(), gateway_.clock.now());
  // A client that went before it was answered.
  const int status = call.status() == 0 ? status_client_gone : call.status();
  gateway_.metrics.answered(call.route, status, seconds);
  const HttpRequestFacts& request = call.request();
  log_info(to_text({{"method", request.method},
                    {"path", request.path},
                    {"status", status},
                    {"ms", seconds * 1e3},
                    {"request_id", request.request_id}}));
}

kj::Promise<void> ServerLoop::answer(HttpCall& call) const {
  const HttpRequestFacts& request = call.request();
  if (request.header_bytes > gateway_.options.header_bytes_max) {
    return call.send_error(
        {431,
         "invalid_request_error",
         "the request's head is larger than " + std::to_string(gateway_.options.header_bytes_max) + " bytes",
         {},
         "headers_too_large"});
  }
  if (const auto error = check_origin(request.host, request.origin, gateway_.options.host))
    return call.send_error(*error);
  return gateway_.router.route(call);
}

void ServerLoop::drain(std::function<void()> drained) {
  accepting_ = kj::READY_NOW;
  receiver_ = nullptr;
  draining_ = server_.drain().then(kj::mv(drained)).eagerlyEvaluate(nullptr);
}

void ServerLoop::taskFailed(kj::Exception&& exception) {
  // Clients go as they like.
  if (exception.getType() != kj::Exception::Type::DISCONNECTED)
    log_debug(std::string("a connection ended: ") + exception.getDescription().cStr());
}

kj::Promise<void> ServerLoop::answer_plainly(const ApiError& error, kj::HttpService::Response& response) {
  auto text = kj::heapString(to_text(to_json(error)).c_str());
  kj::HttpHeaders headers(*table_);
  headers.set(kj::HttpHeaderId::CONTENT_TYPE, "application/json");
  headers.set(request_id_, kj::str(draw_request_id().c_str()));
  auto stream = response.send(static_cast<kj::uint>(error.status), status_text(error.status), headers, text.size());
  auto written = stream->write(text.begin(), text.size());
  return written.attach(kj::mv(stream), kj::mv(text));
}

kj::Promise<void> ServerLoop::handleClientProtocolError(kj::HttpHeaders::ProtocolError error,
                                                        kj::HttpService::Response& response) {
  const bool unknown_method = error.statusCode == 501;
  return answer_plainly(
      {static_cast<int>(error.statusCode),
       "invalid_request_error",
       std::string("this is no HTTP request that the server understands: ") + error.description.cStr(),
       {},
       unknown_method ? "method_not_allowed" : "bad_http"},
      response);
}

kj::Promise<void> ServerLoop::handleApplicationError(kj::Exception exception,
                                                     kj::Maybe<kj::HttpService::Response&> response) {
  if (exception.getType() == kj::Exception::Type::DISCONNECTED) return kj::READY_NOW;
  // The library's own limit, which is above ours and does not come as a protocol error.
  if (std::string_view(exception.getDescription().cStr()).find("headers too large") != std::string_view::npos) {
    KJ_IF_MAYBE (open, response) {
      return answer_plainly({431, "invalid_request_error", "the request's head is too large", {}, "headers_too_large"},
                            *open);
    }
    return kj::READY_NOW;
  }
  log_error(std::string("a request failed: ") + exception.getDescription().cStr());
  KJ_IF_MAYBE (open, response) {
    return answer_plainly(
        {500, "server_error", "the server failed on this request; its log says why", {}, "internal_error"}, *open);
  }
  return kj::READY_NOW;
}

kj::Promise<void> ServerLoop::handleNoResponse(kj::HttpService::Response& response) {
  return answer_plainly({500, "server_error", "the server has no answer to this request", {}, "internal_error"},
                        response);
}

}  // namespace tessera::gateway
