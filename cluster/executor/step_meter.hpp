// StepMeter: the times of an executor's last steps, summed up for heartbeats.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "runtime/base/clock.hpp"

namespace tessera {

/// Not synchronised: its owner holds the lock.
class StepMeter {
 public:
  /// A step that took `seconds`, of which `wait_seconds` went by waiting for other shards, and gave `tokens`.
  void add(TimePoint now, double seconds, double wait_seconds, std::uint32_t tokens);
  /// Over the last steps_kept steps; 0 before the first.
  double median_seconds() const;
  /// Waiting, as a share of the time of these steps.
  double wait_share() const;
  /// Over the last rate_seconds before `now`.
  double tokens_per_second(TimePoint now) const;

  static constexpr std::size_t steps_kept = 64;
  static constexpr double rate_seconds = 5;

 private:
  struct Entry {
    double seconds, wait_seconds;
  };
  struct Tokens {
    TimePoint time;
    std::uint32_t count;
  };
  std::vector<Entry> steps_;  ///< a ring of up to steps_kept
  std::size_t next_ = 0;
  std::deque<Tokens> tokens_;  ///< younger than rate_seconds; at most tokens_kept
  static constexpr std::size_t tokens_kept = 1 << 14;
};

}  // namespace tessera
