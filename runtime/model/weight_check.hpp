// WeightCheck: compares the bytes of a checkpoint with its checksums in the background while the model already serves.
//
// A flipped bit on disk or in memory would give wrong tokens that look right. The check reads every unit once, at the
// lowest scheduling priority; whoever hands out results asks failure() first. As long as a shard serves, its check goes
// on to watch the file: when somebody writes to it, its units are read again.
//
//   WeightCheck check(checkpoint);                                       // everything, as `tessera run` does
//   WeightCheck check(open, shard_units(manifest, assignment), wake);    // the slices of one shard
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/model/shard_weights.hpp"

namespace tessera {

/// Units of one open checkpoint that had the right bytes, so that the shards of a later plan do not read them again.
/// Any thread (mutex_).
class CheckedUnits {
 public:
  bool contains(const std::string& tensor, std::uint32_t unit) const;
  void add(const std::string& tensor, std::uint32_t unit);
  /// The file is in this state now: what was known of another one is forgotten.
  void begin(const SourceStamp& stamp);

 private:
  mutable std::mutex mutex_;
  std::optional<SourceStamp> stamp_;
  std::map<std::string, std::vector<bool>> tensors_;
};

/// Between two looks at whether a file that is served has been written to.
inline constexpr std::chrono::milliseconds file_watch_interval{500};

/// An open checkpoint with what is known of its bytes. Shared by all shards of the process that read it; any thread.
struct OpenCheckpoint {
  std::shared_ptr<const Checkpoint> checkpoint;
  CheckedUnits checked;
};

/// Compares units with their checksums, on the calling thread; those that were checked before are skipped. The first
/// mismatch (`corrupt`, or `io` where the file cannot be read) names file, dataset and slice. `go_on` is asked before
/// each unit: false ends it with `cancelled`.
Result<void> check_units(OpenCheckpoint& open, std::span<const TensorUnits> units, const std::function<bool()>& go_on);

/// How much a background check may disturb: in idle time it never slows a token down, and takes minutes on a machine
/// that has none.
enum class CheckPriority { idle, normal };

/// Owned by whoever serves the weights.
class WeightCheck {
 public:
  /// Starts checking all tensors.
  explicit WeightCheck(std::shared_ptr<const Checkpoint> checkpoint);
  /// Starts checking some units, and watches the file from then on. `on_failure` is called at most once, on the check's
  /// thread, after failure() is set and never after stop() returned; it must not call this object.
  WeightCheck(std::shared_ptr<OpenCheckpoint> open, std::vector<TensorUnits> units,
              std::function<void(const Error&)> on_failure, CheckPriority priority = CheckPriority::idle);
  /// Stops early when it has not finished.
  ~WeightCheck();
  WeightCheck(const WeightCheck&) = delete;
  WeightCheck& operator=(const WeightCheck&) = delete;

  /// Reads at most to the end of a unit. Any thread; waits for on_failure only.
  void stop();
  /// The mismatch found so far, naming dataset and slice. Any thread.
  std::optional<Error> failure() const;
  /// Every unit has been read once, or it has failed or was stopped.
  bool finished() const { return finished_.load(std::memory_order_acquire); }

 private:
  using GoOn = std::function<bool()>;
  WeightCheck(std::function<Result<void>(const GoOn&)> check, std::shared_ptr<OpenCheckpoint> watched,
              std::function<void(const Error&)> on_failure, CheckPriority priority);
  void work();
  /// Until it was stopped or has failed.
  Result<void> watch();
  /// False when it was stopped.
  bool wait();

  const std::function<Result<void>(const GoOn&)> check_;
  const std::shared_ptr<OpenCheckpoint> watched_;  ///< null: nothing is watched
  const std::function<void(const Error&)> on_failure_;
  const CheckPriority priority_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> finished_{false};
  mutable std::mutex mutex_;  ///< guards failure_
  std::mutex report_mutex_;   ///< held while on_failure_ runs
  std::mutex wait_mutex_;     ///< of stopped_
  std::condition_variable stopped_;
  std::optional<Error> failure_;
  std::thread thread_;
};

}  // namespace tessera
