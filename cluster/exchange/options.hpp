// What all parts of one node's data plane are told at start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cluster/exchange/host_lookup.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

/// How a thread waits for a peer's bytes. A spinning thread asks the socket again and again, and yields its core after
/// spin_seconds_before_yield; however it waits, it blocks in the end, so nobody burns a core while nothing happens.
enum class WaitMode : std::uint8_t {
  automatic,  ///< spins for a while, then blocks: right where a core is usually free
  spin,       ///< spins for long: right where every shard has a core of its own
  block,      ///< blocks at once: right where there are more threads than cores
};
inline constexpr double spin_seconds_before_yield = 20e-6;
inline constexpr double automatic_spin_seconds_max = 1e-3;
inline constexpr double spin_seconds_max = 50e-3;

/// The same for every mesh of a node. `clock` outlives everything that is made with it.
struct ExchangeOptions {
  std::string cluster;  ///< 1 to cluster_name_bytes_max printable ASCII characters; peers of other clusters are refused
  bool encrypted =
      true;  ///< both ends must agree; otherwise frames are not protected, only the connection's peers known
  WaitMode wait = WaitMode::automatic;
  /// Without a byte from a peer that owes one: `timed_out`. Longer than any peer computes between two exchanges.
  double stall_seconds_max = 20;
  ResolveHost resolve_host = resolve;
  const Clock* clock = nullptr;
};
inline constexpr std::size_t cluster_name_bytes_max = 64;

}  // namespace tessera
