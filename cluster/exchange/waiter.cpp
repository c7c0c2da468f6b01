#include "cluster/exchange/waiter.hpp"

#include <algorithm>
#include <sched.h>

namespace tessera {

namespace {

double spin_limit(WaitMode mode) {
  switch (mode) {
    case WaitMode::automatic:
      return automatic_spin_seconds_max;
    case WaitMode::spin:
      return spin_seconds_max;
    case WaitMode::block:
      return 0;
  }
  return 0;
}

}  // namespace

Waiter::Waiter(const ExchangeOptions& options) : clock_(*options.clock), spin_seconds_(spin_limit(options.wait)) {}

void Waiter::moved() {
  if (!idle_) return;
  waited_ += seconds_between(since_, clock_.now());
  idle_ = false;
}

bool Waiter::idle() {
  now_ = clock_.now();
  if (!idle_) {
    idle_ = true;
    since_ = now_;
    return spin_seconds_ > 0;
  }
  const double seconds = idle_seconds();
  if (seconds > spin_seconds_) return false;
  if (seconds > spin_seconds_before_yield) ::sched_yield();
  return spin_seconds_ > 0;
}

int poll_milliseconds(double seconds) {
  constexpr double day = 86400;
  return static_cast<int>(std::clamp(seconds, 0.0, day) * 1000) + 1;
}

}  // namespace tessera
