// FailureDetector: which nodes have been silent for too long.
//
//   beats      |    |    |    |              |
//   silence                   |····lost·····>      after `misses` intervals
//
// Time in which the coordinator itself stood still (a stopped process, a starved machine) is nobody's silence: a gap
// between two looks that is longer than one interval counts as one interval.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "cluster/control/ids.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

struct FailureDetectorOptions {
  std::chrono::nanoseconds interval = std::chrono::milliseconds(100);
  std::uint32_t misses = 6;  ///< silence of so many intervals is a loss
};

/// Confined to its owner. Pure: time is passed in and must not go back.
class FailureDetector {
 public:
  explicit FailureDetector(const FailureDetectorOptions& options) : options_(options) {}
  /// A sign of life; starts watching where it does not yet.
  void seen(TimePoint now, NodeId node);
  void forget(NodeId node) { last_seen_.erase(node); }
  /// Nodes that are lost, ascending; to be called with every step of the owner. They stay so until seen or forgotten.
  std::vector<NodeId> look(TimePoint now);
  /// Zero for a node that is not watched.
  std::chrono::nanoseconds silence(TimePoint now, NodeId node) const;

 private:
  FailureDetectorOptions options_;
  TimePoint last_look_{};
  bool looked_ = false;
  std::map<NodeId, TimePoint> last_seen_;
  /// Nobody is lost before: so most looks, of which there is one with every beat of every node, look at nobody.
  TimePoint nobody_before_{};
};

}  // namespace tessera
