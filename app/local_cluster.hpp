// LocalCluster: the smallest cluster, one node in this process, for a command that serves a model without one. It has
// everything that a cluster has (coordinator, worker, certificates, a store), in a folder of its own that goes with it;
// so whoever speaks to it speaks to a cluster.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <tessera/client.hpp>

#include "actors/node.hpp"
#include "runtime/base/result.hpp"

namespace tessera::app {

struct LocalClusterOptions {
  std::uint32_t cores = 0;            ///< 0: all that this process may use
  std::optional<std::uint32_t> numa;  ///< NUMA node to stay on; whoever starts the cluster has placed the process there
  std::string isa = "auto";
};

/// A folder for one process, with a name that nobody can guess, that only its user can read; removed at the end.
class PrivateTemporaryFolder {
 public:
  /// Also removes those of processes that were killed.
  static Result<PrivateTemporaryFolder> create();
  PrivateTemporaryFolder(PrivateTemporaryFolder&& other) noexcept;
  PrivateTemporaryFolder& operator=(PrivateTemporaryFolder&&) = delete;
  ~PrivateTemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit PrivateTemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

/// Owned by the command; ends its node when destroyed.
class LocalCluster {
 public:
  /// Returns when the node is registered. `keep_going` false ends the wait with `cancelled`.
  static Result<std::unique_ptr<LocalCluster>> start(const LocalClusterOptions& options,
                                                     const std::function<bool()>& keep_going);

  /// As its operator, who may deploy.
  client::Options operator_options() const { return options_for({Role::operator_, "local"}); }
  /// As its gateway.
  client::Options gateway_options() const;
  /// Until `interrupted()`, or the node cannot go on.
  Result<void> wait(const std::function<bool()>& interrupted) { return node_->wait(interrupted); }

 private:
  explicit LocalCluster(PrivateTemporaryFolder folder) : folder_(std::move(folder)) {}
  Result<void> start_node(const LocalClusterOptions& options, std::function<void()> on_ready);
  client::Options options_for(const Identity& identity) const;

  PrivateTemporaryFolder folder_;
  std::string authority_pem_;
  Credentials operator_, gateway_;
  std::unique_ptr<Node> node_;
};

}  // namespace tessera::app
