// StepRecord: what heartbeats want to know of the executor thread's steps, with the lock between the two.
#pragma once

#include <mutex>

#include "cluster/control/step_rows.hpp"
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
  /// A step that was planned here had so many rows.
  void conducted(std::uint32_t rows) {
    const std::lock_guard lock(mutex_);
    step_rows_.add(rows);
  }
  /// Calls read(meter, kv_bytes_used, step_rows) under the lock.
  template <typename Read>
  void read(const Read& read) const {
    const std::lock_guard lock(mutex_);
    read(meter_, kv_bytes_, step_rows_);
  }

 private:
  mutable std::mutex mutex_;
  StepMeter meter_;
  std::uint64_t kv_bytes_ = 0;
  StepRows step_rows_;
};

}  // namespace tessera
