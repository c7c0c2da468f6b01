// How the replicas of one deployment divide the workers: each keeps those that it has, as far as its part goes, and
// nobody moves without need. Disjoint where there are enough; otherwise workers are shared, each by as few as possible,
// and take turns by their leases.
//
//   replicas 2, workers w1 … w5      replica 1: w1 w3 w5      replica 2: w2 w4        (by speed, one after the other)
//   w4 is lost                       replica 1: w1 w3         replica 2: w2 w5
//
// Free workers go, fastest first, to whom has least so far: list scheduling, R. Graham, "Bounds on multiprocessing
// timing anomalies", SIAM J. Appl. Math. 1969. Pure: the same input gives the same shares.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "cluster/control/ids.hpp"

namespace tessera {

struct SharedWorker {
  NodeId node;
  double speed = 1;
};

/// What a replica brings along; in ascending order of replicas.
struct ShareClaim {
  std::vector<NodeId> held;    ///< where its shards are or will be, those to keep first
  std::set<NodeId> refused{};  ///< nodes that cannot serve it
};

/// The share of each claim, none empty unless all workers are refused. `wanted`: workers of each; 0: an equal part of
/// all, at least `least`.
std::vector<std::set<NodeId>> share_workers(std::span<const SharedWorker> workers, std::span<const ShareClaim> claims,
                                            std::uint32_t wanted, std::uint32_t least);

}  // namespace tessera
