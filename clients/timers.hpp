// Timers: work that is due later, on the RPC thread. A thread of its own waits for the earliest and posts; what is due
// runs where everything else of a client runs.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "cluster/rpc/rpc_thread.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::frontend {

/// Everything but stop() belongs to the RPC thread. Destroy it after stop(), and stop() it before the RPC thread.
class Timers {
 public:
  using Key = std::pair<TimePoint, std::uint64_t>;

  Timers(RpcThread& thread, const Clock& clock);
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  /// Runs `task` once `due` has come, unless it is cancelled before.
  Key at(TimePoint due, std::function<void()> task);
  Key after(std::chrono::nanoseconds delay, std::function<void()> task);
  /// A key that has run already is ignored.
  void cancel(const Key& key);
  /// Nothing runs any more. Any thread but the RPC thread; idempotent.
  void stop();

  TimePoint now() const { return clock_.now(); }

 private:
  void wait();
  void fire();
  /// Tells the waiting thread when to wake up next.
  void arm();

  RpcThread& thread_;
  const Clock& clock_;
  std::map<Key, std::function<void()>> tasks_;
  std::uint64_t next_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<TimePoint> due_;
  bool stopped_ = false;

  std::thread waiter_;
};

}  // namespace tessera::frontend
