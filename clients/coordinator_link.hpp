// CoordinatorLink: the client's connection to the coordinator, dialled again with back-off whenever it is lost. A call
// waits for a connection up to its deadline, and is repeated when the connection dies under it: every request that a
// client makes can be repeated (job and deploy requests carry idempotency keys).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "clients/timers.hpp"
#include "cluster/rpc/coordinator_client.hpp"
#include "cluster/rpc/reply.hpp"

namespace tessera::frontend {

/// Calls that wait for a connection; more are refused with `exhausted`.
inline constexpr std::size_t waiting_calls_max = 1024;
inline constexpr std::chrono::milliseconds redial_first{20};
inline constexpr std::chrono::milliseconds redial_max{1000};

/// RPC thread only. Lives until that thread has stopped.
class CoordinatorLink {
 public:
  using Deadline = std::chrono::milliseconds;

  /// A connection, and its number among those of this link.
  struct Connected {
    CoordinatorClient client;
    std::uint64_t number = 0;
  };

  CoordinatorLink(RpcThread& thread, Timers& timers, DialOptions options);

  void start();
  /// Dials no more; waiting calls are answered `cancelled`.
  void stop();
  /// Now, or when there is a connection; at the deadline why there is none.
  void with_connection(TimePoint deadline, Reply<Connected> reply);

  /// `invoke(client, deadline, reply)` makes the call. The answer comes once.
  template <typename T>
  void call(Deadline deadline, std::function<void(const CoordinatorClient&, Deadline, Reply<T>)> invoke,
            Reply<T> reply) {
    auto call = std::make_shared<Call<T>>();
    call->deadline = timers_.now() + deadline;
    call->invoke = std::move(invoke);
    call->reply = std::move(reply);
    attempt(std::move(call));
  }

 private:
  template <typename T>
  struct Call {
    TimePoint deadline;
    std::function<void(const CoordinatorClient&, Deadline, Reply<T>)> invoke;
    Reply<T> reply;
  };
  struct Waiting {
    Reply<Connected> reply;
    Timers::Key timer;
  };

  template <typename T>
  void attempt(std::shared_ptr<Call<T>> call) {
    const TimePoint deadline = call->deadline;
    with_connection(deadline, [this, call = std::move(call)](Result<Connected> connection) mutable {
      if (!connection) return call->reply(connection.error());
      const auto left = std::chrono::duration_cast<Deadline>(call->deadline - timers_.now());
      const std::uint64_t number = connection->number;
      call->invoke(connection->client, std::max(left, Deadline(1)), [this, call, number](Result<T> result) mutable {
        if (result || result.error().code != ErrorCode::unavailable) return call->reply(std::move(result));
        decide(std::move(call), number, result.error());
      });
    });
  }
  /// `unavailable`: the coordinator's answer, or is its connection lost? That may be told a moment later.
  template <typename T>
  void decide(std::shared_ptr<Call<T>> call, std::uint64_t number, const Error& error) {
    timers_.after(loss_noticed, [this, call = std::move(call), number, error]() mutable {
      const bool lost = !client_ || number_ != number;
      if (!lost || timers_.now() >= call->deadline) return call->reply(error);
      attempt(std::move(call));
    });
  }

  static constexpr std::chrono::milliseconds loss_noticed{20};

  void dial();
  void dial_later();
  void on_dialled(Result<CoordinatorClient> client);
  void fail_waiting(const Error& error);
  Error absence() const;

  RpcThread& thread_;
  Timers& timers_;
  const DialOptions options_;
  std::optional<CoordinatorClient> client_;
  std::uint64_t number_ = 0;
  bool refused_ = false;  ///< by the last dial
  std::optional<Error> last_error_;
  std::chrono::milliseconds backoff_ = redial_first;
  bool stopped_ = false;
  std::map<std::uint64_t, Waiting> waiting_;
  std::uint64_t next_waiting_ = 0;
};

}  // namespace tessera::frontend
