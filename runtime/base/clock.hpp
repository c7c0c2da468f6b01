// Clock: the only source of time. Passed in wherever time is needed, so that tests and simulation own it.
#pragma once

#include <chrono>

namespace tessera {

/// A point on a monotonic time line with an arbitrary origin.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

/// Any thread. Lives as long as everything that was handed a reference to it.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Never goes back.
  virtual TimePoint now() const = 0;
};

/// The machine's monotonic clock.
class SystemClock final : public Clock {
 public:
  TimePoint now() const override;
};

/// Moves only when told. Not synchronised: for single-threaded tests and simulation.
class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  void advance(std::chrono::nanoseconds step) { now_ += step; }

 private:
  TimePoint now_{};
};

/// The calendar: only for what outlives the machine's uptime, such as the end of a certificate. It may jump.
class WallClock {
 public:
  virtual ~WallClock() = default;
  virtual std::chrono::sys_seconds now() const = 0;
};

/// The machine's calendar. Any thread.
class SystemWallClock final : public WallClock {
 public:
  std::chrono::sys_seconds now() const override;
};

/// A moment as the clock on the wall shows it, in the machine's time zone (TZ).
std::chrono::local_seconds local_time(std::chrono::sys_seconds moment);

/// Seconds between two points.
inline double seconds_between(TimePoint from, TimePoint to) { return std::chrono::duration<double>(to - from).count(); }

}  // namespace tessera
