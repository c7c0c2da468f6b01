// Wakeup: tells an event loop, from any thread, that something that one of its tasks waits for has changed.
//
//   auto wakeup = std::make_shared<Wakeup>();
//   source.start(spec, [wakeup] { wakeup->notify(); });
//   return wakeup->wait().then([this] { return look(); });
#pragma once

#include <kj/async.h>
#include <mutex>

namespace tessera::gateway {

class Wakeup {
 public:
  /// Ends the wait that is going on, or the next one. Any thread; never blocks for long.
  void notify();
  /// The loop's thread; one wait at a time.
  kj::Promise<void> wait();

 private:
  std::mutex mutex_;
  bool notified_ = false;
  kj::Maybe<kj::Own<kj::CrossThreadPromiseFulfiller<void>>> waiting_;
};

}  // namespace tessera::gateway
