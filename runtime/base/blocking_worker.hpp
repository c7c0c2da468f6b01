// BlockingWorker: threads for what may wait for a disk, for other threads or for other machines, so that no actor and
// no event loop ever blocks. The task itself tells its result to whoever waits for it.
//
//   worker.post([=] { caf::anon_send(self, Stored{store->commit(writes)}); });
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tessera {

/// Any thread (mutex_). Tasks begin in order. Outlives those that use it, or they must not use it when they end.
class BlockingWorker {
 public:
  /// `tasks_max`: that may wait.
  explicit BlockingWorker(std::size_t threads = 1, std::size_t tasks_max = 4096);
  /// stop().
  ~BlockingWorker();
  BlockingWorker(const BlockingWorker&) = delete;
  BlockingWorker& operator=(const BlockingWorker&) = delete;

  /// False, and the task is dropped, when tasks_max are waiting or it was stopped.
  bool post(std::function<void()> task);
  /// Runs what was posted before, then ends the threads. Later tasks are dropped.
  void stop();

 private:
  void loop();

  const std::size_t tasks_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // last: they use the others
};

}  // namespace tessera
