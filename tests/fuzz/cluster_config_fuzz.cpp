// cluster.toml. What is accepted keeps the promises of ClusterConfig; what is refused says where.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "cluster/config/cluster_config.hpp"
#include "cluster/config/launch_command.hpp"
#include "runtime/base/ensure.hpp"

namespace {

using namespace tessera;

/// Larger inputs find nothing that smaller ones do not.
constexpr std::size_t text_bytes_max = 1u << 16;

void check_node(const ClusterConfig& config, const NodeConfig& node) {
  TESSERA_ENSURE(is_valid_name(node.name) && !node.host.empty() && node.host.front() != '-');
  TESSERA_ENSURE(!node.roles.empty() && !node.devices.empty());
  TESSERA_ENSURE(node.has(Role::coordinator) == (node.name == config.coordinator));
  TESSERA_ENSURE((node.join_port != 0) == node.has(Role::coordinator));
  TESSERA_ENSURE(node.gateway.has_value() == node.has(Role::gateway));
  if (node.gateway) {
    TESSERA_ENSURE(!node.gateway->listen.empty());
    TESSERA_ENSURE(node.gateway->tls_certificate.empty() == node.gateway->tls_key.empty());
    for (const auto* path : {&node.gateway->keys, &node.gateway->tls_key, &node.gateway->access_log})
      TESSERA_ENSURE(path->empty() || path->is_absolute());
  }
  // Whatever the file says, the shell of another machine gets it as single words.
  const auto command = remote_command("ssh", "tessera", config, node);
  TESSERA_ENSURE(!command[7].starts_with('-') && command[8].find('\n') == std::string::npos);
}

void check(const ClusterConfig& config) {
  TESSERA_ENSURE(is_valid_name(config.name) && config.find(config.coordinator));
  TESSERA_ENSURE(config.storage.is_absolute() && config.state_dir.is_absolute());
  TESSERA_ENSURE(config.coordinator_node().rpc_port != 0);
  std::set<std::string> names;
  std::set<std::pair<std::string, std::uint16_t>> listeners;
  for (const NodeConfig& node : config.nodes) {
    check_node(config, node);
    TESSERA_ENSURE(names.insert(node.name).second);
    for (const std::uint16_t port : {node.rpc_port, node.join_port, node.data_port}) {
      TESSERA_ENSURE(port == 0 || listeners.emplace(node.host, port).second);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > text_bytes_max) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_config(text, "/fuzz/cluster.toml");
  if (config) {
    check(*config);
  } else {
    TESSERA_ENSURE(config.error().message.starts_with("/fuzz/cluster.toml:"));
    TESSERA_ENSURE(config.error().message.size() < 64 * 1024);
  }
  return 0;
}
