// LeaseDesk: the right to compute on one node, when several replicas share it. One holder at a time, first come first
// served.
//
//   replica A's conductor ── lease request ──► A's executor on node 2 ── request() ──► LeaseDesk of node 2 ◄── B's …
//
// Two replicas that share nodes 2 and 3 would otherwise meet in each other's exchanges: A first on node 2, B first on
// node 3, and both steps take as long as both together. The lowest-numbered shared node issues the tickets, and a
// conductor that needs several nodes' tickets takes them in ascending order, so nobody waits in a circle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

#include "runtime/base/ids.hpp"

namespace tessera {

using LeaseTicket = Id<struct LeaseTicketTag, std::uint64_t>;

/// One per node; outlives the node's executors. Any thread (mutex_). The line holds at most one ticket per live epoch
/// of a replica on this node, so it needs no limit of its own.
class LeaseDesk {
 public:
  /// Joins the line. `granted` is called once, when the ticket is first in line: inside this call, or inside the
  /// release() of the ticket before it. It holds the desk's lock: it may only raise a flag or wake a thread.
  LeaseTicket request(std::function<void()> granted);
  /// Leaves the line, granted or not. After it returns `granted` is not called any more. Releasing twice does nothing.
  void release(LeaseTicket ticket);
  /// Tickets in line, the holder's included.
  std::size_t length() const;

 private:
  struct Waiting {
    LeaseTicket ticket;
    std::function<void()> granted;
  };
  mutable std::mutex mutex_;
  std::uint64_t last_ = 0;
  std::deque<Waiting> line_;
};

}  // namespace tessera
