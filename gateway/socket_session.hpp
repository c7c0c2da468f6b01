// SocketSession: one WebSocket that asks a model for texts, one request after the other (socket_message.hpp). Lives on
// its loop's thread. While a generation runs, its client's next messages are read, so that a close or a cancellation
// ends it at once; requests wait in order.
//
//   client ──► reading ──► queue ──► work: plan on a worker, run, tell ──► sending ──► client
//                 └── close, cancel: interrupt ──┘
#pragma once

#include <deque>
#include <kj/async.h>
#include <kj/compat/http.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/http_call.hpp"
#include "gateway/json_body.hpp"
#include "gateway/services.hpp"
#include "gateway/wakeup.hpp"

namespace tessera::gateway {

/// Requests of one socket that wait, and not more than a body has bytes; with more, nothing is read from it.
inline constexpr std::size_t socket_requests_max = 16;

/// `call` and `services` outlive it.
class SocketSession {
 public:
  SocketSession(HttpCall& call, Services& services, std::string model, kj::Own<kj::WebSocket> socket);
  KJ_DISALLOW_COPY(SocketSession);

  /// Until the client closes the socket, does nothing for idle_timeout, or the gateway or its key ends. Dropping the
  /// promise cancels what runs.
  kj::Promise<void> run();
  /// One message after the other; it is sent whether the promise is kept or not.
  kj::Promise<void> send(const Json& message);
  /// That opened it.
  HttpCall& call() { return call_; }

 private:
  struct Request {
    std::string text;
    TimePoint came;
  };
  /// Why a running generation is given up.
  enum class Interrupt { none, cancelled, closed };

  kj::Promise<void> read();
  /// Too many requests wait, or too large ones.
  bool is_full() const;
  kj::Promise<void> take(std::string text);
  void reading_failed(const kj::Exception& failure);
  kj::Promise<void> work();
  kj::Promise<void> answer(Request request);
  kj::Promise<void> wait();
  kj::Promise<void> close(std::uint16_t code, const char* reason);
  kj::Promise<void> write(kj::Promise<void> sending);
  void interrupt(Interrupt why);
  /// For one more request.
  void make_room();
  void wake();

  HttpCall& call_;
  Services& services_;
  const std::string model_;
  kj::Own<kj::WebSocket> socket_;
  const std::shared_ptr<Wakeup> gateway_ends_ = std::make_shared<Wakeup>();

  std::deque<Request> requests_;
  std::optional<std::string> id_;  ///< of the request that is answered
  bool client_closed_ = false;
  std::uint16_t client_code_ = 0;
  bool key_ended_ = false;                          ///< good no more
  std::optional<std::uint16_t> failure_code_ = {};  ///< with which a socket ends that cannot be read any more

  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> news_;  ///< work() waits
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> room_;  ///< read() waits
  kj::Maybe<kj::Own<kj::PromiseFulfiller<Interrupt>>> interrupt_;

  kj::ForkedPromise<void> sent_;
  kj::ForkedPromise<void> reading_;
  kj::ForkedPromise<ApiError> key_ends_;
  kj::Promise<void> watching_, watching_key_;
};

}  // namespace tessera::gateway
