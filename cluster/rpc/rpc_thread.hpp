// RpcThread: the one thread of a process that owns every RPC object: listeners, connections, calls, capabilities. None
// of them ever leaves it; others reach them through handles (servers, clients, proxies, sinks), which post to it.
//
//   any thread ── post(task) ──► bounded queue ── eventfd ──► event loop ──► sockets
//   event loop ── Reply, callbacks, handlers ──► plain values to whoever asked
//
// Whatever runs on this thread (tasks, callbacks, handlers) must not block: everybody else's calls wait for it.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>

#include "runtime/base/result.hpp"

namespace tessera {

class RpcLoop;
class RpcQueue;

/// Tasks that wait at once; post() refuses beyond it. Answers to requests are not counted: the calls are bounded.
inline constexpr std::size_t rpc_tasks_max = 1u << 16;

/// Owned by whoever wires the process. Handlers and callbacks given to servers and clients must live until stop()
/// returned. Handles may outlive it: they answer `unavailable`.
class RpcThread {
 public:
  static Result<std::unique_ptr<RpcThread>> start();
  /// stop().
  ~RpcThread();
  RpcThread(const RpcThread&) = delete;
  RpcThread& operator=(const RpcThread&) = delete;

  /// Runs `task()` on the RPC thread, in order of posting. False, and the task is destroyed here unrun, when the queue
  /// is full or the thread has stopped. Any thread.
  template <std::invocable F>
  bool post(F task) {
    return post_task(std::make_unique<TaskOf<F>>(std::move(task)));
  }

  /// Closes every connection, answers every open call with `unavailable`, runs what is queued, and joins the thread.
  /// Not from the RPC thread. Idempotent.
  void stop();

  /// Whether the caller is on this thread.
  bool is_current() const { return std::this_thread::get_id() == thread_.get_id(); }

  /// For cluster/rpc itself.
  const std::shared_ptr<RpcQueue>& queue() const { return queue_; }

  struct Task {
    virtual ~Task() = default;
    virtual void run() = 0;
  };

 private:
  template <typename F>
  struct TaskOf final : Task {
    explicit TaskOf(F task) : task(std::move(task)) {}
    void run() override { task(); }
    F task;
  };

  explicit RpcThread(std::shared_ptr<RpcQueue> queue);
  bool post_task(std::unique_ptr<Task> task);

  std::shared_ptr<RpcQueue> queue_;
  std::thread thread_;
};

}  // namespace tessera
