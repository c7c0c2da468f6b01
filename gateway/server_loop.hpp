// ServerLoop: the connections of one event loop: accepts them, bounds them, gives their requests to the router, and
// answers what is no HTTP. Lives on its loop's thread.
#pragma once

#include <functional>
#include <kj/async-io.h>
#include <kj/compat/http.h>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "gateway/connection_watch.hpp"
#include "gateway/http_thread.hpp"
#include "gateway/tls.hpp"
#include "runtime/base/log_limit.hpp"

namespace tessera::gateway {

class ServerLoop final : private kj::TaskSet::ErrorHandler, private kj::HttpServerErrorHandler {
 public:
  ServerLoop(kj::AsyncIoContext& io, const std::vector<Entrance>& entrances, const HttpShared& gateway);
  ~ServerLoop() noexcept(false) = default;
  KJ_DISALLOW_COPY(ServerLoop);

  void drain(std::function<void()> drained);

 private:
  class Connection;
  struct Closing;
  /// An entrance that this loop accepts from.
  struct Receiver {
    const ListenOptions options;
    kj::Own<kj::ConnectionReceiver> receiver;
  };

  void accept_all(const std::vector<Entrance>& entrances);
  kj::Promise<void> accept(Receiver& from);
  /// Begins to serve or to refuse a connection. Does not throw.
  void take(kj::AuthenticatedStream stream, const ListenOptions& entrance);
  /// Closes an idle connection; false: there is none.
  bool make_room();
  void log_turned_away(const std::string& why);
  /// To the end of the connection; with TLS, the client's handshake comes first.
  kj::Promise<void> serve(kj::Own<kj::AsyncIoStream> stream, const ListenOptions& entrance, std::string host);
  kj::Promise<void> speak(kj::Own<kj::AsyncIoStream> stream, kj::Own<Connection> connection);
  kj::Promise<void> serve_http(kj::Own<kj::AsyncIoStream> stream, kj::Own<Connection> connection);
  kj::Promise<void> refuse(kj::Own<kj::AsyncIoStream> stream);
  /// Of one request of a connection.
  kj::Promise<void> request(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers,
                            kj::AsyncInputStream& body, kj::HttpService::Response& response, Connection& connection);
  HttpRequestFacts facts(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers);
  kj::Promise<void> answer(HttpCall& call, const ListenOptions& entrance, const KeyHeaders& shown) const;
  /// Counts and logs it, however it ended.
  void ended(const HttpCall& call) const;

  void taskFailed(kj::Exception&& exception) override;
  kj::Promise<void> handleClientProtocolError(kj::HttpHeaders::ProtocolError error,
                                              kj::HttpService::Response& response) override;
  kj::Promise<void> handleApplicationError(kj::Exception exception,
                                           kj::Maybe<kj::HttpService::Response&> response) override;
  kj::Promise<void> handleNoResponse(kj::HttpService::Response& response) override;
  kj::Promise<void> answer_plainly(const ApiError& error, kj::HttpService::Response& response);

  kj::AsyncIoContext& io_;
  const HttpShared gateway_;
  kj::HttpHeaderTable::Builder table_builder_;
  const kj::HttpHeaderId request_id_, origin_, authorization_, api_key_, asked_method_, asked_headers_, trace_;
  const kj::Own<kj::HttpHeaderTable> table_;
  const std::unique_ptr<kj::TlsContext> tls_;  ///< none: plain HTTP
  kj::Own<kj::HttpService> arriving_;          ///< of the connection that the server is being given
  std::vector<std::unique_ptr<Receiver>> receivers_;
  kj::HttpServer server_;
  /// On which no request is worked on: the handshake, a head that is not complete, or between two requests. Longest
  /// idle first; connections take themselves out.
  std::list<Connection*> idle_;
  LogLimit crowd_lines_, accept_lines_;
  kj::TaskSet connections_;
  std::vector<kj::Promise<void>> accepting_;  ///< of each receiver
  kj::Promise<void> draining_;
};

}  // namespace tessera::gateway
