#include "clients/timers.hpp"

namespace tessera::frontend {

Timers::Timers(RpcThread& thread, const Clock& clock) : thread_(thread), clock_(clock), waiter_([this] { wait(); }) {}

Timers::~Timers() { stop(); }

Timers::Key Timers::at(TimePoint due, std::function<void()> task) {
  const Key key{due, next_++};
  tasks_.emplace(key, std::move(task));
  if (tasks_.begin()->first == key) arm();
  return key;
}

Timers::Key Timers::after(std::chrono::nanoseconds delay, std::function<void()> task) {
  return at(clock_.now() + delay, std::move(task));
}

// The waiting thread may wake up for nothing then: cheaper than to tell it every time.
void Timers::cancel(const Key& key) { tasks_.erase(key); }

void Timers::arm() {
  const std::lock_guard lock(mutex_);
  const TimePoint first = tasks_.begin()->first.first;
  if (due_ && *due_ <= first) return;
  due_ = first;
  changed_.notify_one();
}

void Timers::fire() {
  while (!tasks_.empty() && tasks_.begin()->first.first <= clock_.now()) {
    auto node = tasks_.extract(tasks_.begin());
    node.mapped()();
  }
  if (!tasks_.empty()) arm();
}

void Timers::wait() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (!due_) {
      changed_.wait(lock);
    } else if (clock_.now() < *due_) {
      changed_.wait_until(lock, *due_);
    } else {
      due_.reset();
      lock.unlock();
      const bool posted = thread_.post([this] { fire(); });
      lock.lock();
      // A full queue: the work is late, not lost.
      if (!posted && !stopped_) {
        due_ = clock_.now() + std::chrono::milliseconds(10);
        changed_.wait_for(lock, std::chrono::milliseconds(10));
      }
    }
  }
}

void Timers::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
  }
  if (waiter_.joinable()) waiter_.join();
}

}  // namespace tessera::frontend
