// Processes of nodes that were launched on this machine, as their pid files name them.
//
// A pid file holds the process id and when that process started, so that a process that got a recycled number is never
// taken for the node, and never killed.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "cluster/config/state_folder.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

struct ProcessId {
  pid_t pid = 0;
  std::uint64_t started = 0;  ///< clock ticks since boot, as the kernel counts them
  std::string boot;           ///< the kernel's boot id
  bool operator==(const ProcessId&) const = default;
};
/// The process that has this number now; not_found if there is none or it has ended.
Result<ProcessId> identify_process(pid_t pid);

struct RunningNode {
  std::string name;
  ProcessId process;
};
/// Nodes whose pid file names a living process, by name. Others are not touched.
Result<std::vector<RunningNode>> list_running_nodes(const StateFolder& state);
std::optional<RunningNode> find_running_node(const StateFolder& state, const std::string& node);
Result<void> write_pid_file(const StateFolder& state, const std::string& node, const ProcessId& process);

struct StoppedNode {
  std::string name;
  pid_t pid = 0;
  bool killed = false;  ///< it did not end in time after SIGTERM
};
/// SIGTERM to all of them, SIGKILL to those that live after `patience`; removes their pid files. Blocks until they have
/// ended.
Result<std::vector<StoppedNode>> stop_nodes(const StateFolder& state, const std::vector<RunningNode>& nodes,
                                            std::chrono::milliseconds patience);

}  // namespace tessera
