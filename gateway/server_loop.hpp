// ServerLoop: the connections of one event loop: accepts them, bounds them, gives their requests to the router, and
// answers what is no HTTP. Lives on its loop's thread.
#pragma once

#include <functional>
#include <kj/async-io.h>
#include <kj/compat/http.h>
#include <string>

#include "gateway/connection_watch.hpp"
#include "gateway/http_thread.hpp"

namespace tessera::gateway {

class ServerLoop final : private kj::TaskSet::ErrorHandler, private kj::HttpServerErrorHandler {
 public:
  ServerLoop(kj::AsyncIoContext& io, int listener, const HttpShared& gateway);
  ~ServerLoop() noexcept(false) = default;
  KJ_DISALLOW_COPY(ServerLoop);

  void drain(std::function<void()> drained);

 private:
  class Connection;

  kj::Promise<void> accept();
  void serve(kj::Own<kj::AsyncIoStream> stream);
  kj::Promise<void> refuse(kj::Own<kj::AsyncIoStream> stream);
  /// Of one request; `watch` notices that its client goes.
  kj::Promise<void> request(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers,
                            kj::AsyncInputStream& body, kj::HttpService::Response& response, ConnectionWatch& watch);
  HttpRequestFacts facts(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders& headers);
  kj::Promise<void> answer(HttpCall& call) const;
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
  const kj::HttpHeaderId request_id_, origin_;
  const kj::Own<kj::HttpHeaderTable> table_;
  kj::Own<kj::ConnectionReceiver> receiver_;
  kj::HttpServer server_;
  kj::TaskSet connections_;
  kj::Promise<void> accepting_;
  kj::Promise<void> draining_;
};

}  // namespace tessera::gateway
