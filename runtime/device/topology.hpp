// Topology: the NUMA nodes of this machine, as far as this process may use them, and how a process and its threads are
// placed on them.
//
// Memory belongs to a NUMA node, and a core reads that of its own faster than any other. There are two ways to make
// good use of a machine with several:
//   - a worker for each of them, with `--numa N`: its threads, KV pages and the weights that it maps stay there, and
//     what the workers exchange are partial sums, a few kilobytes for each layer. The faster one.
//   - one process over all: its memory is taken from the NUMA nodes in turns, so that all memory controllers work at
//     once, and if it has a compute thread for every processor these are spread over the NUMA nodes.
// On a machine with a single NUMA node nothing is bound: the system knows better which core is free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera {

/// Numbers of logical processors, as the system counts them; ascending.
using CpuSet = std::vector<std::uint32_t>;

struct NumaNode {
  std::uint32_t id = 0;            ///< as the system counts them
  CpuSet cpus;                     ///< that this process may use; never empty
  std::uint64_t memory_bytes = 0;  ///< 0: not known
};

class Topology {
 public:
  /// Of this machine (hwloc), within the affinity mask of the calling thread. Without knowledge of NUMA nodes: one that
  /// has all processors.
  static Topology detect();
  /// Of a machine that hwloc's synthetic notation describes, such as "numa:2 core:4 pu:2": for tests.
  static Result<Topology> parse(const std::string& description);
  explicit Topology(std::vector<NumaNode> nodes);

  /// At least one, by ascending id; no processor is in two of them.
  const std::vector<NumaNode>& nodes() const { return nodes_; }
  /// invalid_argument names the NUMA nodes that there are.
  Result<NumaNode> find(std::uint32_t id) const;
  /// The processors of thread i of `threads`: those of a NUMA node; each gets its share of the threads by its number of
  /// processors. Empty, and nothing is bound, when there is one NUMA node, or when there are fewer threads than
  /// processors: then others share the machine, and if everybody began with the first NUMA node all would be on it.
  std::vector<CpuSet> spread(std::uint32_t threads) const;

 private:
  std::vector<NumaNode> nodes_;
};

/// Places this process: with a number on that NUMA node, processors and memory; without one, its memory is taken from
/// all NUMA nodes in turns if there are several. To be called before other threads start, which inherit it. Where the
/// system lets nobody say where memory comes from (containers), only the processors are bound, and the log says so.
Result<void> place_process(std::optional<std::uint32_t> numa_node);

/// Binds the calling thread to processors for as long as the object lives; to nothing when the set is empty, or when
/// the system refuses.
class ThreadBinding {
 public:
  explicit ThreadBinding(const CpuSet& cpus);
  ~ThreadBinding();
  ThreadBinding(const ThreadBinding&) = delete;
  ThreadBinding& operator=(const ThreadBinding&) = delete;

 private:
  CpuSet before_;
};

/// Processors that the calling thread may use.
CpuSet affinity();

/// How many these are, at least 1.
std::uint32_t usable_cores();

}  // namespace tessera
