// LeaseKeeper: the places in the node's line (LeaseDesk) that conductors of this executor's epochs took, by a lease
// command from another node, or from this one.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/exchange/socket.hpp"
#include "cluster/executor/lease_desk.hpp"

namespace tessera {

/// Owned by the executor's thread; only the desk's callbacks come from others (mutex_). At most one place per epoch: a
/// conductor that asks again gives the old one up.
class LeaseKeeper {
 public:
  /// `wake` is signalled when take_granted() has something. Both outlive it.
  LeaseKeeper(LeaseDesk& desk, const EventFd& wake) : desk_(desk), wake_(wake) {}
  /// Leaves all lines.
  ~LeaseKeeper();
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  void acquire(Epoch epoch, std::uint64_t ticket);
  /// Granted or not; unknown tickets are fine.
  void release(Epoch epoch, std::uint64_t ticket);
  void release_epoch(Epoch epoch);

  struct Granted {
    Epoch epoch;
    std::uint64_t ticket;
    bool operator==(const Granted&) const = default;
  };
  /// Since the last call, without those that were released meanwhile.
  std::vector<Granted> take_granted();

 private:
  struct Place {
    std::uint64_t ticket;
    LeaseTicket place;
  };
  LeaseDesk& desk_;
  const EventFd& wake_;
  std::map<Epoch, Place> places_;
  std::mutex mutex_;  ///< guards granted_; taken inside the desk's lock, never around it
  std::vector<Granted> granted_;
};

}  // namespace tessera
