#include "cluster/control/failure_detector.hpp"

#include <algorithm>

namespace tessera {

void FailureDetector::seen(TimePoint now, NodeId node) {
  last_seen_[node] = now;
  nobody_before_ = std::min(nobody_before_, now + options_.interval * options_.misses);
}

std::vector<NodeId> FailureDetector::look(TimePoint now) {
  if (looked_ && now - last_look_ > options_.interval) {
    const auto stood_still = now - last_look_ - options_.interval;
    for (auto& [node, last] : last_seen_) {
      if (last <= last_look_) last += stood_still;
    }
  }
  looked_ = true;
  last_look_ = now;
  std::vector<NodeId> lost;
  if (now < nobody_before_) return lost;
  nobody_before_ = TimePoint::max();
  for (const auto& [node, last] : last_seen_) {
    const TimePoint due = last + options_.interval * options_.misses;
    if (now > due) lost.push_back(node);
    nobody_before_ = std::min(nobody_before_, due);
  }
  return lost;
}

std::chrono::nanoseconds FailureDetector::silence(TimePoint now, NodeId node) const {
  const auto entry = last_seen_.find(node);
  if (entry == last_seen_.end() || entry->second > now) return {};
  return now - entry->second;
}

}  // namespace tessera
