#include "cluster/executor/step_meter.hpp"

#include <algorithm>

namespace tessera {

void StepMeter::add(TimePoint now, double seconds, double wait_seconds, std::uint32_t tokens) {
  const Entry entry{seconds, wait_seconds};
  if (steps_.size() < steps_kept) {
    steps_.push_back(entry);
  } else {
    steps_[next_] = entry;
    next_ = (next_ + 1) % steps_kept;
  }
  if (tokens > 0) tokens_.push_back({now, tokens});
  while (!tokens_.empty() &&
         (tokens_.size() > tokens_kept || seconds_between(tokens_.front().time, now) > rate_seconds)) {
    tokens_.pop_front();
  }
}

double StepMeter::median_seconds() const {
  if (steps_.empty()) return 0;
  std::vector<double> seconds;
  for (const Entry& entry : steps_) seconds.push_back(entry.seconds);
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

double StepMeter::wait_share() const {
  double total = 0, waiting = 0;
  for (const Entry& entry : steps_) {
    total += entry.seconds;
    waiting += entry.wait_seconds;
  }
  return total > 0 ? std::min(1.0, waiting / total) : 0;
}

double StepMeter::tokens_per_second(TimePoint now) const {
  std::uint64_t sum = 0;
  for (const Tokens& tokens : tokens_) {
    if (seconds_between(tokens.time, now) <= rate_seconds) sum += tokens.count;
  }
  return static_cast<double>(sum) / rate_seconds;
}

}  // namespace tessera
