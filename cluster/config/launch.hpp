// Launch: starts the nodes of a configuration, each as a process of its own, and waits until they are ready.
//
//   Launch launch(config, {.binary = "/usr/bin/tessera"});
//   launch.start("c");                       // local: tessera node --config F --name c
//   launch.wait_ready(deadline, progress);   // an error is the node's own last words
//   launch.start("w9", token);               // on another host: ssh HOST tessera node --join … --token -, token on
//   stdin launch.wait_ready(deadline, progress);
//
// Processes get their own session, so that they live on when the launcher's terminal closes, and write to
// logs/NODE.log. Ending them is stop_nodes() in node_process.hpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cluster/config/cluster_config.hpp"
#include "cluster/config/local_host.hpp"
#include "cluster/config/node_process.hpp"
#include "cluster/config/readiness.hpp"
#include "cluster/config/state_folder.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

struct LaunchSettings {
  std::filesystem::path binary;           ///< of tessera, on this machine
  std::string remote_binary = "tessera";  ///< on the others
  std::string ssh = "ssh";
};

enum class LaunchState { started, was_running, ready, failed };
/// Called by the thread that calls start() and wait_ready(). `detail` is the reason of a failure.
using LaunchProgress = std::function<void(const std::string& node, LaunchState state, const std::string& detail)>;

/// Owned by the command that launches; one thread. Destroying it does not end the nodes.
class Launch {
 public:
  Launch(const ClusterConfig& config, LaunchSettings settings);
  ~Launch();
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  /// Starts one node, here if is_local_host(), unless it runs already (then it counts as ready). `join_token` is for
  /// nodes on other hosts.
  Result<LaunchState> start(const std::string& node, const std::string& join_token = {});
  /// Blocks until every started node has announced itself. The error is that of the first node that cannot start, and
  /// says where its log is; the others go on.
  Result<void> wait_ready(std::chrono::milliseconds timeout, const LaunchProgress& progress = {});

 private:
  struct Pending;
  Result<void> spawn(const NodeConfig& node, const std::vector<std::string>& command, const std::string& input);
  /// Reads what a node has announced; nothing: no whole line yet.
  std::optional<Result<Readiness>> hear(Pending& pending) const;
  /// Whether it is over with this one, ready or not.
  Result<bool> look_at(Pending& pending, const LaunchProgress& progress) const;
  Error cannot_start(const Pending& pending, const std::string& reason) const;
  void forget(const std::string& node);

  const ClusterConfig& config_;
  StateFolder state_;
  LaunchSettings settings_;
  std::vector<Pending> pending_;
};

}  // namespace tessera
