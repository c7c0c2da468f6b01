#include "cluster/config/launch_command.hpp"

#include "cluster/config/readiness.hpp"

namespace tessera {

namespace {

/// An address and a port, as --join takes them.
std::string join_address(const ClusterConfig& config) {
  const NodeConfig& coordinator = config.coordinator_node();
  const bool is_v6 = coordinator.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + coordinator.host + "]" : coordinator.host) + ":" + std::to_string(coordinator.join_port);
}

}  // namespace

std::string shell_quote(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::vector<std::string> local_command(const std::filesystem::path& binary, const ClusterConfig& config,
                                       const NodeConfig& node) {
  return {binary.string(), "node", "--config", config.file.string(), "--name", node.name};
}

std::vector<std::string> remote_command(const std::string& ssh, const std::string& remote_binary,
                                        const ClusterConfig& config, const NodeConfig& node) {
  std::vector<std::string> words{remote_binary, "node",    "--join",           join_address(config),
                                 "--name",      node.name, "--host",           node.host,
                                 "--token",     "-",       "--stop-with-stdin"};
  const auto add = [&](const char* option, const std::string& value) {
    words.push_back(option);
    words.push_back(value);
  };
  if (node.rpc_port != 0) add("--rpc-port", std::to_string(node.rpc_port));
  if (node.data_port != 0) add("--data-port", std::to_string(node.data_port));
  if (node.cores != 0) add("--cores", std::to_string(node.cores));
  if (node.numa) add("--numa", std::to_string(*node.numa));
  if (node.memory_bytes != 0) add("--memory", std::to_string(node.memory_bytes) + "B");
  if (node.isa != "auto") add("--isa", node.isa);
  if (config.security.data_plane != DataPlane::encrypted) add("--data-plane", to_string(config.security.data_plane));
  if (config.wait != ExchangeWait::automatic) add("--wait", to_string(config.wait));

  std::string line = std::string(ready_fd_variable) + "=1 exec";
  for (const std::string& word : words) line += " " + shell_quote(word);
  // Without a terminal a question for a password would never be answered: fail instead.
  return {ssh, "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", node.ssh.empty() ? node.host : node.ssh,
          line};
}

}  // namespace tessera
