// A run: a cluster, streams and jobs, and a random mix of faults, all from one seed. Each run draws which faults it has
// and how often (swarm testing: A. Groce et al., ISSTA 2012), then heals everything and waits until all that was asked
// for has ended.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cluster/control/worker_fence.hpp"
#include "tests/sim/flaw.hpp"

namespace tessera::sim {

struct RunOptions {
  std::uint64_t seed = 1;
  bool trace = false;
  FenceRules rules = FenceRules::all();
  /// Late and repeated messages and second coordinators in every run, instead of in some: what fences are for.
  bool rough = false;
  Flaw flaw = Flaw::none;
};

struct RunReport {
  std::string violation;  ///< empty: every invariant held
  std::uint64_t events = 0;
  std::uint64_t resumptions = 0;  ///< of streams
  double simulated_seconds = 0;
  std::map<std::string, std::uint64_t> faults;  ///< that were caused, by kind
  double healing_seconds = 0;                   ///< from the last fault until everything that was asked for had ended
};

RunReport run_seed(const RunOptions& options);

}  // namespace tessera::sim
