// BlockingWorker: one thread for what may wait for a disk or for other threads (the store, opening checkpoints, ending
// executors), so that no actor ever blocks. Results go back as messages.
//
//   worker.post([=] { caf::anon_send(self, Stored{store->commit(writes)}); });
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace tessera {

/// Any thread (mutex_). Tasks run in order. Outlives the actors that use it, or they must not use it when they end.
class BlockingWorker {
 public:
  static constexpr std::size_t tasks_max = 4096;

  BlockingWorker();
  /// stop().
  ~BlockingWorker();
  BlockingWorker(const BlockingWorker&) = delete;
  BlockingWorker& operator=(const BlockingWorker&) = delete;

  /// False, and the task is dropped, when tasks_max are waiting or it was stopped.
  bool post(std::function<void()> task);
  /// Runs what was posted before, then ends the thread. Later tasks are dropped.
  void stop();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace tessera
