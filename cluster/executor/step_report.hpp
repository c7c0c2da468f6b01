// StepReport: the steps of one conductor since its last report, summed up for the coordinator (tessera status).
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "cluster/executor/replica_executor.hpp"

namespace tessera {

/// Not synchronised: its owner holds the lock.
class StepReport {
 public:
  StepReport(ReplicaId replica, TimePoint now) : replica_(replica), since_(now) {}
  /// A step of a newer epoch begins a new report.
  void add(TimePoint now, const StepStatistics& step);
  /// What came since the last call; nothing when no step was taken.
  std::optional<ReplicaMetrics> take(TimePoint now);

  /// Step times that a report's median and percentile are made of; of more, the last ones.
  static constexpr std::size_t times_max = 4096;

 private:
  ReplicaId replica_;
  TimePoint since_;
  ReplicaMetrics sums_;  ///< counts only
  double step_seconds_ = 0, wait_seconds_ = 0, lease_seconds_ = 0;
  std::vector<double> times_;  ///< a ring of up to times_max
};

}  // namespace tessera
