// Which of a deployment's replicas a new stream goes to. Streams that begin alike should meet where the pages of their
// beginning are, and a conversation should stay where its pages are, but not where everybody else is already:
//
//   key    = the session's name, or else the first pages of the prompt; under the tenant's salt
//   order  = the replicas by hash(key, replica), highest first: another replica takes over only what it now wins
//   choice = the first in this order that has room for one more stream
//
// Rendezvous hashing: D. Thaler, C. Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 1998.
// Bounded loads: V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018, with the
// loads that the frontend knows without asking: those of its own streams.
//
// Pure. No token depends on the choice: every replica gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "cluster/control/ids.hpp"
#include "cluster/control/stream.hpp"

namespace tessera {

/// Of a prompt, as many full pages as tell streams apart. A conversation whose prompt grows past them keeps its key;
/// one that is shorter may change its replica, which costs it fewer positions than these pages have.
inline constexpr std::size_t routing_pages_max = 4;
/// A replica with fewer streams of this frontend than that has room: they hardly cost each other anything in a step.
inline constexpr std::uint32_t routing_streams_free = 8;
/// Otherwise it may have so much more than the mean, in per cent of it.
inline constexpr std::uint64_t routing_load_percent_max = 125;

struct RoutedReplica {
  ReplicaId replica;
  std::uint32_t streams = 0;  ///< of this frontend that are open there, without the one that is placed
};

/// What the choice depends on beside the replicas. `session`: what the user calls the conversation; empty: nothing.
std::uint64_t routing_key(const StreamRequest& request, std::string_view session);

/// Most streams that a replica may have, the new one included, when `replicas` have `streams` together without it.
std::uint64_t routing_bound(std::uint64_t streams, std::size_t replicas);

/// Index into `replicas`, which must not be empty; their order does not matter.
std::size_t choose_replica(std::uint64_t key, std::span<const RoutedReplica> replicas);

}  // namespace tessera
