#include "cluster/executor/lease_keeper.hpp"

#include <utility>

namespace tessera {

LeaseKeeper::~LeaseKeeper() {
  while (!places_.empty()) release_epoch(places_.begin()->first);
}

void LeaseKeeper::acquire(Epoch epoch, std::uint64_t ticket) {
  release_epoch(epoch);
  const LeaseTicket place = desk_.request([this, epoch, ticket] {
    const std::lock_guard lock(mutex_);
    granted_.push_back({epoch, ticket});
    wake_.signal();
  });
  places_.emplace(epoch, Place{ticket, place});
}

void LeaseKeeper::release(Epoch epoch, std::uint64_t ticket) {
  const auto place = places_.find(epoch);
  if (place != places_.end() && place->second.ticket == ticket) release_epoch(epoch);
}

void LeaseKeeper::release_epoch(Epoch epoch) {
  const auto place = places_.find(epoch);
  if (place == places_.end()) return;
  desk_.release(place->second.place);
  places_.erase(place);
}

std::vector<LeaseKeeper::Granted> LeaseKeeper::take_granted() {
  std::vector<Granted> granted;
  {
    const std::lock_guard lock(mutex_);
    granted = std::exchange(granted_, {});
  }
  std::erase_if(granted, [&](const Granted& one) {
    const auto place = places_.find(one.epoch);
    return place == places_.end() || place->second.ticket != one.ticket;
  });
  return granted;
}

}  // namespace tessera
