// ClientCore: what a Client owns. The RPC thread, the link to the coordinator, the connections to conductors and the
// running streams; and the way by which a calling thread waits for what happens there.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include <tessera/client.hpp>

#include "clients/conductor_pool.hpp"
#include "clients/coordinator_link.hpp"
#include "clients/event_queue.hpp"
#include "clients/live_stream.hpp"
#include "clients/timers.hpp"
#include "clients/tokenizer_cache.hpp"
#include "cluster/rpc/rpc_thread.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/rng.hpp"

namespace tessera::frontend {

/// Generations of one client at once; more are refused.
inline constexpr std::size_t streams_max = 4096;
/// How long a client that is destroyed waits until its cancellations are told.
inline constexpr std::chrono::milliseconds close_patience{1000};
/// How often the status is asked for while a call waits for the cluster to change.
inline constexpr std::chrono::milliseconds status_poll_interval{100};
/// Lines of a log that are asked for at once.
inline constexpr std::uint32_t log_lines_per_call = 1000;
/// How often keep_going is asked.
inline constexpr std::chrono::milliseconds interruption_check{100};

/// Any thread, except where it says otherwise.
class ClientCore {
 public:
  using Deadline = std::chrono::milliseconds;
  template <typename T>
  using Invoke = std::function<void(const CoordinatorClient&, Deadline, Reply<T>)>;

  static Result<std::unique_ptr<ClientCore>> create(const client::Options& options);
  /// For members of the cluster: dials as they do. Of `options` only deadlines and keep_going count.
  static Result<std::unique_ptr<ClientCore>> create(const client::Options& options, DialOptions coordinator);
  /// Cancels streams, tells their jobs, stops.
  ~ClientCore();
  ClientCore(const ClientCore&) = delete;
  ClientCore& operator=(const ClientCore&) = delete;

  const client::Options& options() const { return options_; }
  TimePoint now() const { return clock_.now(); }
  TokenizerCache& tokenizers() { return tokenizers_; }
  /// A key that nobody else draws.
  std::string draw_key();
  StreamId draw_stream_id();
  std::uint64_t draw_seed();

  /// Runs `start(reply, progress)` on the RPC thread and waits for the reply; `on_progress` gets, on this thread, what
  /// was passed to `progress` meanwhile; false ends the wait with `cancelled`, as keep_going does.
  template <typename T, typename P>
  Result<T> wait(std::function<void(Reply<T>, std::function<void(P)>)> start,
                 const std::function<bool(const P&)>& on_progress);
  template <typename T>
  Result<T> wait(std::function<void(Reply<T>)> start) {
    return wait<T, std::monostate>(
        [start = std::move(start)](Reply<T> reply, const std::function<void(std::monostate)>&) {
          start(std::move(reply));
        },
        {});
  }
  /// A call of the coordinator: waits for a connection if need be, repeats it if the connection dies.
  template <typename T>
  Result<T> call(Deadline deadline, Invoke<T> invoke) {
    return wait<T>([this, deadline, invoke = std::move(invoke)](Reply<T> reply) {
      link_.call<T>(deadline, invoke, std::move(reply));
    });
  }

  /// Waits for a connection to the coordinator.
  Result<void> connect(Deadline deadline);
  /// A connection to a node that conducts.
  Result<ConductorClient> conductor(const StreamLocation& location);
  /// Waits on this thread, as long as keep_going says so.
  Result<void> pause(Deadline time);

  Result<void> start_stream(LiveStreamSettings settings, std::shared_ptr<EventQueue> queue);
  void cancel_stream(StreamId id);
  /// Streams that were opened since the client was made, by replica.
  std::vector<ReplicaLoads::Opened> opened_streams() const { return loads_.all(); }

  /// RPC thread.
  CoordinatorLink& link() { return link_; }
  /// RPC thread. Hands the cluster's status to `progress` now and again, until `open` is false.
  void poll_status(std::shared_ptr<const bool> open, std::function<void(ClusterStatus)> progress);

 private:
  ClientCore(const client::Options& options, DialOptions dial, std::unique_ptr<RpcThread> thread);
  void stop_streams();

  template <typename T, typename P>
  struct Waiter {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<T>> answer;
    std::deque<P> progress;  // the newest progress_max
  };
  static constexpr std::size_t progress_max = 64;

  const client::Options options_;
  const SystemClock clock_;
  SystemEntropy entropy_;
  TokenizerCache tokenizers_;
  const std::unique_ptr<RpcThread> thread_;
  Timers timers_;
  CoordinatorLink link_;
  ConductorPool pool_;
  ReplicaLoads loads_;
  std::map<StreamId, std::shared_ptr<LiveStream>> streams_;  // RPC thread
  std::function<void()> on_last_stream_;                     // RPC thread; set while it closes
};

template <typename T, typename P>
Result<T> ClientCore::wait(std::function<void(Reply<T>, std::function<void(P)>)> start,
                           const std::function<bool(const P&)>& on_progress) {
  const auto waiter = std::make_shared<Waiter<T, P>>();
  Reply<T> reply([waiter](Result<T> result) {
    const std::lock_guard lock(waiter->mutex);
    waiter->answer = std::move(result);
    waiter->changed.notify_all();
  });
  std::function<void(P)> progress = [waiter](P value) {
    const std::lock_guard lock(waiter->mutex);
    if (waiter->progress.size() >= progress_max) waiter->progress.pop_front();
    waiter->progress.push_back(std::move(value));
    waiter->changed.notify_all();
  };
  // Where it cannot be posted the reply is dropped, which answers it.
  thread_->post([start = std::move(start), reply = std::move(reply), progress = std::move(progress)]() mutable {
    start(std::move(reply), std::move(progress));
  });
  const Error stopped{ErrorCode::cancelled, "stopped"};
  std::unique_lock lock(waiter->mutex);
  for (;;) {
    waiter->changed.wait_for(lock, interruption_check,
                             [&] { return waiter->answer.has_value() || !waiter->progress.empty(); });
    while (!waiter->progress.empty()) {
      const P value = std::move(waiter->progress.front());
      waiter->progress.pop_front();
      lock.unlock();
      if (on_progress && !on_progress(value)) return stopped;
      lock.lock();
    }
    if (waiter->answer) return std::move(*waiter->answer);
    if (options_.keep_going && !options_.keep_going()) return stopped;
  }
}

}  // namespace tessera::frontend
