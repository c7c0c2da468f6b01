// How commands find their cluster, and connect to it as the operator of this machine.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <tessera/client.hpp>

#include "cluster/config/cluster_config.hpp"
#include "runtime/base/result.hpp"

namespace CLI {
class App;
}

namespace tessera::app {

struct ClusterOptions {
  std::string cluster;  ///< --cluster; empty: ./cluster.toml
};

/// --cluster, with TESSERA_CLUSTER as its default.
void add_cluster_option(CLI::App& command, ClusterOptions& options);

/// A cluster that was found: by its configuration, or only by the state folder that a launch left.
struct FoundCluster {
  std::optional<ClusterConfig> config;
  client::Options client;
};
/// The configuration, its state folder, or the client.json in it. Errors name the file and the ways to give one.
Result<FoundCluster> find_cluster(const ClusterOptions& options);
/// find_cluster, then connect.
Result<client::Client> connect_cluster(const ClusterOptions& options);

/// What load_options reads: where the coordinator is, and which files prove who the commands of this machine are.
/// Written into the state folder by `tessera up`.
Result<void> write_client_file(const ClusterConfig& config);

/// The library's errors as the binary's.
Error to_error(const client::Error& error);
template <typename T>
Result<T> to_result(client::Result<T> result) {
  if (!result) return to_error(result.error());
  return *std::move(result);
}
inline Result<void> to_result(const client::Result<void>& result) {
  if (!result) return to_error(result.error());
  return {};
}

}  // namespace tessera::app
