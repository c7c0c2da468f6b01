// ReplicaLoads: how many of a client's streams are open at each replica, which is what spreads the next ones
// (cluster/control/replica_routing.hpp), and how many were opened there in all, for figures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cluster/control/ids.hpp"

namespace tessera::frontend {

/// Replicas that are remembered; beyond it those without streams are forgotten.
inline constexpr std::size_t replicas_known_max = 1024;

/// Any thread; a mutex guards everything.
class ReplicaLoads {
 public:
  struct Opened {
    std::string deployment;
    ReplicaId replica;
    std::uint64_t streams = 0;  ///< a resumed one counts again
  };

  void opened(const std::string& deployment, ReplicaId replica);
  void closed(ReplicaId replica);
  /// That are open.
  std::uint32_t streams(ReplicaId replica) const;
  std::vector<Opened> all() const;

 private:
  struct Entry {
    std::string deployment;
    std::uint32_t open = 0;
    std::uint64_t opened = 0;
  };
  mutable std::mutex mutex_;
  std::map<ReplicaId, Entry> entries_;
};

}  // namespace tessera::frontend
