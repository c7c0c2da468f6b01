#include "runtime/base/clock.hpp"

#include <ctime>

namespace tessera {

TimePoint SystemClock::now() const { return std::chrono::steady_clock::now(); }

std::chrono::sys_seconds SystemWallClock::now() const {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::chrono::local_seconds local_time(std::chrono::sys_seconds moment) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(moment);
  std::tm parts{};
  const std::chrono::seconds offset(::localtime_r(&seconds, &parts) != nullptr ? parts.tm_gmtoff : 0);
  return std::chrono::local_seconds(moment.time_since_epoch() + offset);
}

}  // namespace tessera
