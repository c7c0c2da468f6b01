// RpcQueue: the way onto the RPC thread. Handles keep it alive, so that they can be used after the thread has stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cluster/rpc/rpc_thread.hpp"

namespace tessera {

/// Any thread (the mutex is the queue's), except where said.
class RpcQueue {
 public:
  using Task = RpcThread::Task;
  using Tasks = std::vector<std::unique_ptr<Task>>;

  /// `wake` is an eventfd that the queue takes over.
  explicit RpcQueue(int wake) : wake_(wake) {}
  ~RpcQueue();
  RpcQueue(const RpcQueue&) = delete;
  RpcQueue& operator=(const RpcQueue&) = delete;

  enum class Posted { yes, full, stopped };
  /// `task` is taken only if it was posted.
  Posted post(std::unique_ptr<Task>& task, std::size_t tasks_max = rpc_tasks_max);

  /// Runs `call(loop, reply)` on the RPC thread; answers here when it cannot get there.
  template <typename R, typename F>
  void post_call(R reply, F call) {
    auto task = std::make_unique<CallTask<R, F>>(*this, std::move(reply), std::move(call));
    R& owed = task->reply;
    std::unique_ptr<Task> posted = std::move(task);
    const Posted result = post(posted);
    if (result == Posted::full) {
      owed(Error{ErrorCode::exhausted, "the RPC thread has too many tasks waiting; repeat the request later"});
    } else if (result == Posted::stopped) {
      owed(Error{ErrorCode::unavailable, "the RPC thread has stopped: this process is ending"});
    }
  }
  /// Runs `f(loop)` on the RPC thread, if it gets there.
  template <typename F>
  bool post_task(F f) {
    std::unique_ptr<Task> task = std::make_unique<LoopTask<F>>(*this, std::move(f));
    return post(task) == Posted::yes;
  }
  /// The same beyond the limit: for answers and closings, whose number is bounded by calls and connections.
  template <typename F>
  bool post_always(F f) {
    std::unique_ptr<Task> task = std::make_unique<LoopTask<F>>(*this, std::move(f));
    return post(task, SIZE_MAX) == Posted::yes;
  }

  /// True only on the RPC thread while its loop lives.
  bool on_loop_thread() const { return loop_thread_.load() == std::this_thread::get_id(); }

  /// Runs `f(loop)` here and now, if the loop lives. For what may end after it: the promises of calls that nobody waits
  /// for any more are destroyed by the event loop itself, at its end, and with them their answers and guards. RPC
  /// thread.
  template <typename F>
  void if_alive(F&& f) {
    if (on_loop_thread()) f(loop());
  }

  // RPC thread only.
  RpcLoop& loop() { return *loop_; }
  void begin(RpcLoop& loop);
  Tasks take();
  /// Refuses everything from now on and returns what waits.
  Tasks close();
  void end();
  int wake_fd() const { return wake_; }

 private:
  template <typename R, typename F>
  struct CallTask final : Task {
    CallTask(RpcQueue& queue, R reply, F call) : queue(queue), reply(std::move(reply)), call(std::move(call)) {}
    void run() override { call(queue.loop(), std::move(reply)); }
    RpcQueue& queue;
    R reply;
    F call;
  };
  template <typename F>
  struct LoopTask final : Task {
    LoopTask(RpcQueue& queue, F f) : queue(queue), f(std::move(f)) {}
    void run() override { f(queue.loop()); }
    RpcQueue& queue;
    F f;
  };

  const int wake_;
  RpcLoop* loop_ = nullptr;
  std::atomic<std::thread::id> loop_thread_{};
  std::mutex mutex_;
  Tasks tasks_;          // guarded by mutex_
  bool closed_ = false;  // guarded by mutex_
};

}  // namespace tessera
