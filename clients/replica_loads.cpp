#include "clients/replica_loads.hpp"

#include "runtime/base/ensure.hpp"

namespace tessera::frontend {

void ReplicaLoads::opened(const std::string& deployment, ReplicaId replica) {
  const std::lock_guard lock(mutex_);
  if (entries_.size() >= replicas_known_max)
    std::erase_if(entries_, [](const auto& entry) { return entry.second.open == 0; });
  Entry& entry = entries_[replica];
  entry.deployment = deployment;
  ++entry.open;
  ++entry.opened;
}

void ReplicaLoads::closed(ReplicaId replica) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(replica);
  TESSERA_ENSURE(found != entries_.end() && found->second.open > 0);
  --found->second.open;
}

std::uint32_t ReplicaLoads::streams(ReplicaId replica) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(replica);
  return found == entries_.end() ? 0 : found->second.open;
}

std::vector<ReplicaLoads::Opened> ReplicaLoads::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<Opened> all;
  for (const auto& [replica, entry] : entries_) all.push_back({entry.deployment, replica, entry.opened});
  return all;
}

}  // namespace tessera::frontend
