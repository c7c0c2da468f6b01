#include "runtime/base/blocking_worker.hpp"

#include <utility>

namespace tessera {

BlockingWorker::BlockingWorker(std::size_t threads, std::size_t tasks_max) : tasks_max_(tasks_max) {
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { loop(); });
}

BlockingWorker::~BlockingWorker() { stop(); }

bool BlockingWorker::post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || tasks_.size() >= tasks_max_) return false;
  tasks_.push_back(std::move(task));
  changed_.notify_one();
  return true;
}

void BlockingWorker::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void BlockingWorker::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds is let go without the lock
    lock.lock();
  }
}

}  // namespace tessera
