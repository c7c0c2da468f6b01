#include "runtime/base/clock.hpp"

namespace tessera {

TimePoint SystemClock::now() const { return std::chrono::steady_clock::now(); }

std::chrono::sys_seconds SystemWallClock::now() const {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace tessera
