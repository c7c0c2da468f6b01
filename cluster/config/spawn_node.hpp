// Starts the process of one node. Only for launch.cpp.
#pragma once

#include <filesystem>
#include <ios>
#include <string>
#include <sys/types.h>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera {

struct SpawnedNode {
  pid_t pid = 0;
  int process = -1;              ///< pidfd; whoever holds this closes it
  int ready_pipe = -1;           ///< not blocking; whoever holds this closes it
  std::streamoff log_begin = 0;  ///< what lies behind this in the log is this process's
};

/// Runs a command in a session of its own, with a clean set of signals and no other open files.
///
///   input empty   the command is the node: stdin is empty, stdout and stderr go to the log, the readiness pipe is
///                 descriptor 3
///   otherwise     the command is an ssh: stdin is the input and then stays open, stdout is the readiness pipe, stderr
///                 goes to the log
Result<SpawnedNode> spawn_node(const std::string& node, const std::vector<std::string>& command,
                               const std::filesystem::path& log, const std::string& input);

}  // namespace tessera
