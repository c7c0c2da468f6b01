#include "gateway/wakeup.hpp"

namespace tessera::gateway {

void Wakeup::notify() {
  const std::lock_guard lock(mutex_);
  KJ_IF_MAYBE (waiting, waiting_) {
    (*waiting)->fulfill();
    waiting_ = nullptr;
  } else {
    notified_ = true;
  }
}

kj::Promise<void> Wakeup::wait() {
  const std::lock_guard lock(mutex_);
  if (notified_) {
    notified_ = false;
    return kj::READY_NOW;
  }
  auto pair = kj::newPromiseAndCrossThreadFulfiller<void>();
  waiting_ = kj::mv(pair.fulfiller);
  // Where the wait is given up, what comes later is for the next one.
  return pair.promise.attach(kj::defer([this] {
    const std::lock_guard lock(mutex_);
    waiting_ = nullptr;
  }));
}

}  // namespace tessera::gateway
