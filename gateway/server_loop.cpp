#include "gateway/server_loop.hpp"

#include <iterator>
#include <kj/debug.h>
#include <list>
#include <optional>
#include <string_view>

#include "gateway/services.hpp"
#include "gateway/sse.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/most_crowded.hpp"

namespace tessera::gateway {

namespace {

constexpr std::size_t request_id_bytes_max = 128;
/// Without file descriptors accepting fails at once, again and again.
constexpr kj::Duration accept_retry = 100 * kj::MILLISECONDS;
/// Between two lines in the log about connections that are one too many, and between two about accepting.
constexpr std::chrono::milliseconds log_interval{1000};
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

/// What the library would refuse in words of its own.
bool opens_web_socket(kj::HttpMethod method, const kj::HttpHeaders& headers) {
  return method == kj::HttpMethod::GET && headers.isWebSocket() &&
         text_of(headers.get(kj::HttpHeaderId::SEC_WEBSOCKET_VERSION)) == "13" &&
         !text_of(headers.get(kj::HttpHeaderId::SEC_WEBSOCKET_KEY)).empty();
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

kj::Own<kj::ConnectionReceiver> wrap_listener(kj::AsyncIoContext& io, int descriptor) {
  return io.lowLevelProvider->wrapListenSocketFd(descriptor, kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP |
                                                                 kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC |
                                                                 kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK);
}

}  // namespace

/// A connection's end, should it have to make room. Lives to the end of both, as a fulfiller that goes unused would end
/// its promise, too.
struct ServerLoop::Closing {
  kj::Own<kj::PromiseFulfiller<void>> fulfiller;
};

/// What kj gives the requests of one connection to.
class ServerLoop::Connection final : public kj::HttpService {
 public:
  /// `stream`: the socket itself, also where TLS is spoken over it.
  /// `closed` ends the connection when it is fulfilled.
  Connection(ServerLoop& loop, kj::AsyncIoStream& stream, const ListenOptions& entrance, std::string client_host,
             std::shared_ptr<Closing> closed)
      : entrance(entrance),
        host(std::move(client_host)),
        watch(loop.io_.unixEventPort, stream),
        loop_(loop),
        closed_(std::move(closed)) {
    rest();
  }
  ~Connection() noexcept(false) { work(); }
  KJ_DISALLOW_COPY(Connection);

  kj::Promise<void> request(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers,
                            kj::AsyncInputStream& body, Response& response) override {
    work();
    return loop_.request(method, url, headers, body, response, *this).attach(kj::defer([this] { rest(); }));
  }

  /// Ends it, as an event of its own.
  void close() {
    work();
    is_closing_ = true;
    closed_->fulfiller->fulfill();
  }

  const ListenOptions& entrance;
  const std::string host;  ///< of the client, without its port
  ConnectionWatch watch;

 private:
  void rest() {
    if (is_closing_) return;
    loop_.idle_.push_back(this);
    place_ = std::prev(loop_.idle_.end());
  }
  void work() {
    if (place_) loop_.idle_.erase(*place_);
    place_.reset();
  }

  ServerLoop& loop_;
  const std::shared_ptr<Closing> closed_;
  std::optional<std::list<Connection*>::iterator> place_;  ///< in the loop's list, while it is idle
  bool is_closing_ = false;
};

ServerLoop::ServerLoop(kj::AsyncIoContext& io, const std::vector<Entrance>& entrances, const HttpShared& gateway)
    : io_(io),
      gateway_(gateway),
      request_id_(table_builder_.add("X-Request-Id")),
      origin_(table_builder_.add("Origin")),
      authorization_(table_builder_.add("Authorization")),
      api_key_(table_builder_.add("X-Api-Key")),
      asked_method_(table_builder_.add("Access-Control-Request-Method")),
      asked_headers_(table_builder_.add("Access-Control-Request-Headers")),
      trace_(table_builder_.add("X-Tessera-Trace")),
      table_(table_builder_.build()),
      tls_(gateway.tls == nullptr ? nullptr : server_tls(*gateway.tls)),
      server_(
          io.provider->getTimer(), *table_, [this](kj::AsyncIoStream&) { return kj::mv(arriving_); },
          server_settings(gateway.options, *this)),
      crowd_lines_(log_interval),
      accept_lines_(log_interval),
      connections_(*this),
      draining_(kj::READY_NOW) {
  accept_all(entrances);
}

void ServerLoop::accept_all(const std::vector<Entrance>& entrances) {
  for (const Entrance& entrance : entrances) {
    receivers_.push_back(
        std::make_unique<Receiver>(Receiver{entrance.options, wrap_listener(io_, entrance.descriptor)}));
    accepting_.push_back(accept(*receivers_.back()).eagerlyEvaluate([](kj::Exception&& error) {
      log_error(std::string("the HTTP server accepts no more connections: ") + error.getDescription().cStr());
    }));
  }
}

kj::Promise<void> ServerLoop::accept(Receiver& from) {
  // Without descriptors it throws instead of returning a promise.
  return kj::evalNow([&from] { return from.receiver->acceptAuthenticated(); })
      .then([this, &from](kj::AuthenticatedStream stream) -> kj::Promise<void> {
        take(kj::mv(stream), from.options);
        return kj::READY_NOW;
      })
      .catch_([this](kj::Exception&& error) {
        if (const auto others = accept_lines_.pass(gateway_.clock.now())) {
          log_warning("the HTTP server cannot accept a connection" + others_text(*others) + ": " +
                      error.getDescription().cStr() +
                      "; it tries again (a limit on open files is raised with ulimit -n)");
        }
        return io_.provider->getTimer().afterDelay(accept_retry);
      })
      .then([this, &from] { return accept(from); });
}

void ServerLoop::take(kj::AuthenticatedStream stream, const ListenOptions& entrance) {
  const bool is_full = gateway_.counters.connections.fetch_add(1) >= gateway_.options.connections_max;
  const bool is_one_too_many = is_full && !make_room();
  if (is_full) {
    ++gateway_.counters.turned_away;
    log_turned_away(is_one_too_many ? "refuses a connection: all are at work"
                                    : "closes the connection that was idle longest for another");
  }
  // What cannot even begin (no descriptor is left) ends like a connection that fails later.
  auto done = kj::evalNow([&] {
    std::string address = stream.peerIdentity->toString().cStr();
    address.resize(std::min(address.size(), address.rfind(':')));
    return is_one_too_many ? refuse(kj::mv(stream.stream)) : serve(kj::mv(stream.stream), entrance, std::move(address));
  });
  connections_.add(done.attach(kj::defer([this] { --gateway_.counters.connections; })));
}

bool ServerLoop::make_room() {
  if (idle_.empty()) return false;
  Connection* const victim =
      *find_most_crowded(idle_, [](const Connection* idle) -> std::string_view { return idle->host; });
  victim->close();
  return true;
}

void ServerLoop::log_turned_away(const std::string& why) {
  if (const auto others = crowd_lines_.pass(gateway_.clock.now())) {
    log_warning("the HTTP server has " + std::to_string(gateway_.options.connections_max) + " connections and " + why +
                others_text(*others) + "; --max-connections allows more");
  }
}

kj::Promise<void> ServerLoop::serve(kj::Own<kj::AsyncIoStream> stream, const ListenOptions& entrance,
                                    std::string host) {
  auto closed = kj::newPromiseAndFulfiller<void>();
  const auto close = std::make_shared<Closing>(Closing{kj::mv(closed.fulfiller)});
  auto connection = kj::heap<Connection>(*this, *stream, entrance, std::move(host), close);
  return speak(kj::mv(stream), kj::mv(connection)).exclusiveJoin(kj::mv(closed.promise)).attach(close);
}

kj::Promise<void> ServerLoop::speak(kj::Own<kj::AsyncIoStream> stream, kj::Own<Connection> connection) {
  if (!tls_) return serve_http(kj::mv(stream), kj::mv(connection));
  auto late = io_.provider->getTimer()
                  .afterDelay(to_kj(gateway_.options.header_timeout))
                  .then([]() -> kj::Promise<kj::Own<kj::AsyncIoStream>> {
                    return KJ_EXCEPTION(DISCONNECTED, "the TLS handshake took too long");
                  });
  return tls_->wrapServer(kj::mv(stream))
      .exclusiveJoin(kj::mv(late))
      .then([this, connection = kj::mv(connection)](kj::Own<kj::AsyncIoStream> secured) mutable {
        return serve_http(kj::mv(secured), kj::mv(connection));
      });
}

kj::Promise<void> ServerLoop::serve_http(kj::Own<kj::AsyncIoStream> stream, kj::Own<Connection> connection) {
  arriving_ = kj::mv(connection);
  return server_.listenHttp(kj::mv(stream));
}

kj::Promise<void> ServerLoop::refuse(kj::Own<kj::AsyncIoStream> stream) {
  // Before a handshake there is nothing that the client would understand.
  if (tls_) return kj::READY_NOW;
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
  facts.asked_method = text_of(headers.get(asked_method_));
  facts.asked_headers = text_of(headers.get(asked_headers_));
  facts.request_id = text_of(headers.get(request_id_));
  if (!is_request_id(facts.request_id)) facts.request_id = draw_request_id();
  facts.opens_web_socket = opens_web_socket(method, headers);
  facts.wants_trace = text_of(headers.get(trace_)) == "1";
  facts.header_bytes = url.size();
  headers.forEach(
      [&](kj::StringPtr name, kj::StringPtr value) { facts.header_bytes += name.size() + value.size() + 4; });
  return facts;
}

kj::Promise<void> ServerLoop::request(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers,
                                      kj::AsyncInputStream& body, kj::HttpService::Response& response,
                                      Connection& connection) {
  auto call = kj::heap<HttpCall>(facts(method, url, headers), gateway_.clock.now(), gateway_.options,
                                 io_.provider->getTimer(), *table_, body, response);
  const KeyHeaders shown{text_of(headers.get(authorization_)), text_of(headers.get(api_key_))};
  auto answered = kj::evalNow([&] { return answer(*call, connection.entrance, shown); });
  auto end = kj::defer([this, &call = *call] { ended(call); });
  return answered.exclusiveJoin(connection.watch.gone()).attach(kj::mv(end)).attach(kj::mv(call));
}

void ServerLoop::ended(const HttpCall& call) const {
  const double seconds = seconds_between(call.arrived(), gateway_.clock.now());
  // A client that went before it was answered.
  const int status = call.status() == 0 ? status_client_gone : call.status();
  gateway_.metrics.answered(call.route, status, seconds);
  if (gateway_.access_log != nullptr)
    gateway_.access_log->add(access_line(call, status, seconds, gateway_.calendar.now()));
  const HttpRequestFacts& request = call.request();
  log_info(to_text({{"method", request.method},
                    {"path", request.path},
                    {"status", status},
                    {"ms", seconds * 1e3},
                    {"request_id", request.request_id}}));
}

kj::Promise<void> ServerLoop::answer(HttpCall& call, const ListenOptions& entrance, const KeyHeaders& shown) const {
  const HttpRequestFacts& request = call.request();
  if (request.header_bytes > gateway_.options.header_bytes_max) {
    return call.send_error(
        {431,
         "invalid_request_error",
         "the request's head is larger than " + std::to_string(gateway_.options.header_bytes_max) + " bytes",
         {},
         "headers_too_large"});
  }
  return gateway_.access.answer(call, entrance, shown);
}

void ServerLoop::drain(std::function<void()> drained) {
  accepting_.clear();
  // Connections that are being accepted know their entrance by its receiver.
  for (const auto& receiver : receivers_) receiver->receiver = nullptr;
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
