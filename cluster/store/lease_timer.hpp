// LeaseTimer: since when one handle of a store has seen each lease (store.hpp says why it is measured so).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "runtime/base/clock.hpp"

namespace tessera {

/// Owned by a store's handle, on its thread. Has an entry per lease that it was asked about, until retain().
class LeaseTimer {
 public:
  explicit LeaseTimer(const Clock& clock) : clock_(clock) {}

  /// Whether this revision of the lease has been seen for longer than it may last. Seeing a new revision starts it.
  bool has_run_out(const std::string& key, std::uint64_t revision, std::chrono::milliseconds lease) {
    const TimePoint now = clock_.now();
    auto [seen, is_new] = seen_.try_emplace(key, Seen{revision, now});
    if (!is_new && seen->second.revision != revision) seen->second = {revision, now};
    return now - seen->second.since >= lease;
  }
  void forget(const std::string& key) { seen_.erase(key); }
  /// Forgets all others: leases that another handle has erased.
  void retain(const std::set<std::string>& keys) {
    std::erase_if(seen_, [&](const auto& seen) { return !keys.contains(seen.first); });
  }

 private:
  struct Seen {
    std::uint64_t revision;
    TimePoint since;
  };
  const Clock& clock_;
  std::map<std::string, Seen> seen_;
};

}  // namespace tessera
