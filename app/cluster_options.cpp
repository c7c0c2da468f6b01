#include "app/cluster_options.hpp"

#include <system_error>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/interrupt.hpp"
#include "cluster/auth/private_file.hpp"
#include "cluster/config/state_folder.hpp"
#include "cluster/control/plan.hpp"

namespace tessera::app {

namespace {

constexpr const char* default_config = "cluster.toml";

nlohmann::json client_file(const ClusterConfig& config) {
  const StateFolder state(config.state_dir);
  const NodeConfig& coordinator = config.coordinator_node();
  const auto relative = [&](const std::filesystem::path& path) {
    return path.lexically_relative(config.state_dir).string();
  };
  return {{"coordinator", to_string(Endpoint{coordinator.host, coordinator.rpc_port})},
          {"server_name", coordinator.name},
          {"authority", relative(state.authority_certificate())},
          {"certificate", relative(state.certificate(local_operator()))},
          {"key", relative(state.key(local_operator()))}};
}

Result<client::Options> options_of(const ClusterConfig& config) {
  client::Options options;
  const StateFolder state(config.state_dir);
  const NodeConfig& coordinator = config.coordinator_node();
  options.coordinator = to_string(Endpoint{coordinator.host, coordinator.rpc_port});
  options.server_name = coordinator.name;
  const auto explain = [&](const Error& error) {
    return Error{error.code, "cluster " + config.name + ": this machine has no operator's certificate in " +
                                 config.state_dir.string() + " (" + error.message + "); run: tessera up " +
                                 config.file.string()};
  };
  const auto read = [&](const std::filesystem::path& path, std::string& into, bool secret) -> Result<void> {
    auto text = secret ? read_private_file(path) : tessera::read_text_file(path);
    if (!text) return explain(text.error());
    into = *std::move(text);
    return {};
  };
  TESSERA_CHECK(read(state.authority_certificate(), options.authority_pem, false));
  TESSERA_CHECK(read(state.certificate(local_operator()), options.certificate_pem, false));
  TESSERA_CHECK(read(state.key(local_operator()), options.key_pem, true));
  return options;
}

}  // namespace

void add_cluster_option(CLI::App& command, ClusterOptions& options) {
  command
      .add_option("--cluster", options.cluster,
                  "The cluster's configuration, or the state folder of its launch (default: ./cluster.toml)")
      ->envname("TESSERA_CLUSTER")
      ->group("Cluster");
}

Result<FoundCluster> find_cluster(const ClusterOptions& options) {
  const std::filesystem::path path = options.cluster.empty() ? default_config : options.cluster;
  std::error_code code;
  const std::filesystem::file_status status = std::filesystem::status(path, code);
  if (!std::filesystem::exists(status)) {
    return Error{ErrorCode::not_found,
                 path.string() +
                     ": no cluster is described here; give its configuration with --cluster FILE, or set "
                     "TESSERA_CLUSTER to it"};
  }
  FoundCluster found;
  if (std::filesystem::is_directory(status) || path.extension() == ".json") {
    TESSERA_TRY(found.client, to_result(client::load_options(path.string())));
    return found;
  }
  TESSERA_TRY(found.config, load_config(path));
  TESSERA_TRY(found.client, options_of(*found.config));
  return found;
}

Result<client::Client> connect_cluster(const ClusterOptions& options) {
  TESSERA_TRY(FoundCluster found, find_cluster(options));
  found.client.keep_going = [] { return !interrupted(); };
  return to_result(client::Client::connect(found.client));
}

Result<void> write_client_file(const ClusterConfig& config) {
  return write_file_atomically(config.state_dir / "client.json", client_file(config).dump(2) + "\n",
                               FileAccess::everyone);
}

Error to_error(const client::Error& error) {
  switch (error.code) {
    case client::ErrorCode::invalid_argument:
      return {ErrorCode::invalid_argument, error.message};
    case client::ErrorCode::not_found:
      return {ErrorCode::not_found, error.message};
    case client::ErrorCode::corrupt:
      return {ErrorCode::corrupt, error.message};
    case client::ErrorCode::unsupported:
      return {ErrorCode::unsupported, error.message};
    case client::ErrorCode::io:
      return {ErrorCode::io, error.message};
    case client::ErrorCode::exhausted:
      return {ErrorCode::exhausted, error.message};
    case client::ErrorCode::cancelled:
      return {ErrorCode::cancelled, error.message};
    case client::ErrorCode::unavailable:
      return {ErrorCode::unavailable, error.message};
    case client::ErrorCode::timed_out:
      return {ErrorCode::timed_out, error.message};
    case client::ErrorCode::denied:
      return {ErrorCode::denied, error.message};
    case client::ErrorCode::conflict:
      return {ErrorCode::conflict, error.message};
  }
  return {ErrorCode::io, error.message};
}

}  // namespace tessera::app
