// DrainSignal: tells connections that wait for their client, and would do so for ever, that the gateway ends.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "gateway/wakeup.hpp"

namespace tessera::gateway {

/// Any thread; has a mutex.
class DrainSignal {
 public:
  /// Wakes `wakeup` at the end, if it still is there.
  void listen(const std::shared_ptr<Wakeup>& wakeup) {
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [](const std::weak_ptr<Wakeup>& each) { return each.expired(); });
    waiting_.push_back(wakeup);
  }
  void notify() {
    const std::lock_guard lock(mutex_);
    for (const std::weak_ptr<Wakeup>& each : waiting_) {
      if (const auto wakeup = each.lock()) wakeup->notify();
    }
  }

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<Wakeup>> waiting_;
};

}  // namespace tessera::gateway
