// Waiter: decides, each time nothing moved, whether to look again or to block (options.wait).
#pragma once

#include "cluster/exchange/options.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

/// One wait of one thread.
class Waiter {
 public:
  explicit Waiter(const ExchangeOptions& options);
  /// Something moved: the next idle() begins a new spin.
  void moved();
  /// Nothing moved. True: look again now (the core may have been yielded); false: block.
  bool idle();
  /// Since something moved last, as idle() saw it.
  double idle_seconds() const { return idle_ ? seconds_between(since_, now_) : 0; }
  /// In all, until the last moved().
  double waited_seconds() const { return waited_; }

 private:
  const Clock& clock_;
  double spin_seconds_;
  bool idle_ = false;
  TimePoint since_{}, now_{};
  double waited_ = 0;
};

/// For poll(): rounded up, so that nobody wakes just before the time; at most a day.
int poll_milliseconds(double seconds);

}  // namespace tessera
