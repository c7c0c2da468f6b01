#include "cluster/executor/step_report.hpp"

#include <algorithm>

namespace tessera {

namespace {

/// The value that `share` of all are not above; reorders.
double percentile(std::vector<double>& values, double share) {
  const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

double share_of(double part, double whole) { return whole > 0 ? std::clamp(part / whole, 0.0, 1.0) : 0; }

}  // namespace

void StepReport::add(TimePoint now, const StepStatistics& step) {
  if (step.epoch != sums_.epoch) {
    *this = StepReport(replica_, now);
    sums_.epoch = step.epoch;
  }
  if (times_.size() < times_max) {
    times_.push_back(step.seconds);
  } else {
    times_[sums_.steps % times_max] = step.seconds;
  }
  ++sums_.steps;
  sums_.rows += step.rows;
  sums_.tokens += step.tokens;
  step_seconds_ += step.seconds;
  wait_seconds_ += step.wait_seconds;
  lease_seconds_ += step.lease_seconds;
}

std::optional<ReplicaMetrics> StepReport::take(TimePoint now) {
  const Epoch epoch = sums_.epoch;
  std::optional<ReplicaMetrics> metrics;
  if (sums_.steps > 0) {
    metrics = sums_;
    metrics->replica = replica_;
    metrics->seconds = seconds_between(since_, now);
    metrics->step_seconds_median = percentile(times_, 0.5);
    metrics->step_seconds_p99 = percentile(times_, 0.99);
    metrics->wait_share = share_of(wait_seconds_, step_seconds_);
    metrics->lease_share = share_of(lease_seconds_, step_seconds_ + lease_seconds_);
  }
  *this = StepReport(replica_, now);
  sums_.epoch = epoch;
  return metrics;
}

}  // namespace tessera
