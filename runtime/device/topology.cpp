#include "runtime/device/topology.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <hwloc.h>
#include <memory>
#include <sched.h>
#include <set>
#include <type_traits>

#include "runtime/base/ensure.hpp"
#include "runtime/base/log.hpp"

namespace tessera {

namespace {

struct Unload {
  void operator()(hwloc_topology_t topology) const { ::hwloc_topology_destroy(topology); }
};
using Hwloc = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, Unload>;

struct FreeSet {
  void operator()(hwloc_bitmap_t set) const { ::hwloc_bitmap_free(set); }
};
using Bitmap = std::unique_ptr<std::remove_pointer_t<hwloc_bitmap_t>, FreeSet>;

/// Of this machine, or of a description.
Hwloc load(const char* description) {
  hwloc_topology_t raw = nullptr;
  if (::hwloc_topology_init(&raw) != 0) return nullptr;
  Hwloc topology(raw);
  if (description != nullptr && ::hwloc_topology_set_synthetic(raw, description) != 0) return nullptr;
  if (::hwloc_topology_load(raw) != 0) return nullptr;
  return topology;
}

CpuSet numbers_of(hwloc_const_bitmap_t set) {
  CpuSet numbers;
  // An endless set has no last number; processors are few.
  if (::hwloc_bitmap_last(set) < 0) return numbers;
  for (int cpu = ::hwloc_bitmap_first(set); cpu >= 0; cpu = ::hwloc_bitmap_next(set, cpu))
    numbers.push_back(static_cast<std::uint32_t>(cpu));
  return numbers;
}

std::vector<NumaNode> nodes_of(hwloc_topology_t topology, const CpuSet* usable) {
  std::vector<NumaNode> nodes;
  std::set<std::uint32_t> taken;
  hwloc_obj_t object = nullptr;
  while ((object = ::hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, object)) != nullptr) {
    NumaNode node{object->os_index, numbers_of(object->cpuset), object->attr->numanode.local_memory};
    if (usable != nullptr) {
      std::erase_if(node.cpus, [&](std::uint32_t cpu) { return !std::ranges::binary_search(*usable, cpu); });
    }
    // Memory of another kind beside the processors of a NUMA node (HBM, memory behind a bus) is nowhere to compute.
    std::erase_if(node.cpus, [&](std::uint32_t cpu) { return !taken.insert(cpu).second; });
    if (!node.cpus.empty()) nodes.push_back(std::move(node));
  }
  return nodes;
}

cpu_set_t mask_of(const CpuSet& cpus) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const std::uint32_t cpu : cpus) {
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &mask);
  }
  return mask;
}

bool bind_thread(const CpuSet& cpus) {
  const cpu_set_t mask = mask_of(cpus);
  return ::sched_setaffinity(0, sizeof mask, &mask) == 0;
}

/// From one NUMA node, or from several in turns.
bool take_memory_from(const std::vector<NumaNode>& nodes) {
  const Hwloc topology = load(nullptr);
  const Bitmap set(::hwloc_bitmap_alloc());
  if (!topology || !set) return false;
  for (const NumaNode& node : nodes) ::hwloc_bitmap_set(set.get(), node.id);
  const hwloc_membind_policy_t policy = nodes.size() == 1 ? HWLOC_MEMBIND_BIND : HWLOC_MEMBIND_INTERLEAVE;
  return ::hwloc_set_membind(topology.get(), set.get(), policy, HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET) == 0;
}

}  // namespace

Topology::Topology(std::vector<NumaNode> nodes) : nodes_(std::move(nodes)) {
  TESSERA_ENSURE(!nodes_.empty() && std::ranges::none_of(nodes_, [](const NumaNode& n) { return n.cpus.empty(); }));
  std::ranges::sort(nodes_, {}, &NumaNode::id);
}

Topology Topology::detect() {
  const CpuSet usable = affinity();
  const Hwloc topology = load(nullptr);
  std::vector<NumaNode> nodes;
  if (topology) nodes = nodes_of(topology.get(), &usable);
  if (nodes.empty()) nodes.push_back({0, usable, 0});
  return Topology(std::move(nodes));
}

Result<Topology> Topology::parse(const std::string& description) {
  const Hwloc topology = load(description.c_str());
  std::vector<NumaNode> nodes;
  if (topology) nodes = nodes_of(topology.get(), nullptr);
  if (nodes.empty()) {
    return Error{ErrorCode::invalid_argument, "\"" + description + "\" does not describe a machine as hwloc does"};
  }
  return Topology(std::move(nodes));
}

Result<NumaNode> Topology::find(std::uint32_t id) const {
  const auto node = std::ranges::find(nodes_, id, &NumaNode::id);
  if (node != nodes_.end()) return *node;
  std::string known;
  for (const NumaNode& one : nodes_) known += (known.empty() ? "" : ", ") + std::to_string(one.id);
  return Error{ErrorCode::invalid_argument, "NUMA node " + std::to_string(id) +
                                                " is not one that this process may use; there " +
                                                (nodes_.size() == 1 ? "is " : "are ") + known};
}

std::vector<CpuSet> Topology::spread(std::uint32_t threads) const {
  std::size_t cpus = 0;
  for (const NumaNode& node : nodes_) cpus += node.cpus.size();
  if (nodes_.size() == 1 || threads < cpus) return {};
  std::vector<CpuSet> placed;
  std::vector<std::size_t> given(nodes_.size());
  for (std::uint32_t thread = 0; thread < threads; ++thread) {
    // Whose share is the least used so far, as fractions without a division; the first of equals.
    std::size_t next = 0;
    for (std::size_t i = 1; i < nodes_.size(); ++i) {
      if (given[i] * nodes_[next].cpus.size() < given[next] * nodes_[i].cpus.size()) next = i;
    }
    ++given[next];
    placed.push_back(nodes_[next].cpus);
  }
  return placed;
}

Result<void> place_process(std::optional<std::uint32_t> numa_node) {
  const Topology topology = Topology::detect();
  std::vector<NumaNode> nodes = topology.nodes();
  if (numa_node) {
    TESSERA_TRY(NumaNode node, topology.find(*numa_node));
    if (!bind_thread(node.cpus)) {
      return Error{ErrorCode::io,
                   "cannot bind this process to NUMA node " + std::to_string(*numa_node) + ": " + std::strerror(errno)};
    }
    nodes = {std::move(node)};
  } else if (nodes.size() == 1) {
    return {};
  }
  if (!take_memory_from(nodes)) {
    log_warning(std::string("memory cannot be bound to NUMA nodes here (") + std::strerror(errno) +
                "); only processors are");
  }
  return {};
}

ThreadBinding::ThreadBinding(const CpuSet& cpus) {
  if (cpus.empty()) return;
  before_ = affinity();
  if (!bind_thread(cpus)) before_.clear();
}

ThreadBinding::~ThreadBinding() {
  if (!before_.empty()) bind_thread(before_);
}

CpuSet affinity() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CpuSet cpus;
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0) {
    for (std::uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &mask)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

std::uint32_t usable_cores() { return static_cast<std::uint32_t>(affinity().size()); }

}  // namespace tessera
