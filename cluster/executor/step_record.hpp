// StepRecord: what heartbeats want to know of the executor thread's steps, with the lock between the two.
#pragma once

#include <mutex>

#include "cluster/executor/step_meter.hpp"

namespace tessera {

/// Any thread (mutex_).
class StepRecord {
 public:
  void add(TimePoint now, double seconds, double wait_seconds, std::uint32_t tokens, std::uint64_t kv_bytes) {
    const std::lock_guard lock(mutex_);
    meter_.add(now, seconds, wait_seconds, tokens);
    kv_bytes_ = kv_bytes;
  }
  /// Calls read(meter, kv_bytes_used) under the lock.
  template <typename Read>
  void read(const Read& read) const {
    const std::lock_guard lock(mutex_);
    read(meter_, kv_bytes_);
  }

 private:
  mutable std::mutex mutex_;
  StepMeter meter_;
  std::uint64_t kv_bytes_ = 0;
};

}  // namespace tessera
