// WeightCheck: compares the bytes of a checkpoint with its checksums in the background while the model already serves.
//
// A flipped bit on disk or in memory would give wrong tokens that look right. The check reads every unit once, at the
// lowest scheduling priority; whoever hands out results asks failure() first.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"

namespace tessera {

class WeightCheck {
 public:
  /// Starts checking all tensors.
  explicit WeightCheck(std::shared_ptr<const Checkpoint> checkpoint);
  /// Stops early when it has not finished.
  ~WeightCheck();
  WeightCheck(const WeightCheck&) = delete;
  WeightCheck& operator=(const WeightCheck&) = delete;

  /// The mismatch found so far, naming dataset and slice. Any thread.
  std::optional<Error> failure() const;
  bool finished() const { return finished_.load(std::memory_order_acquire); }

 private:
  void work();

  std::shared_ptr<const Checkpoint> checkpoint_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> finished_{false};
  mutable std::mutex mutex_;
  std::optional<Error> failure_;
  std::thread thread_;
};

}  // namespace tessera
