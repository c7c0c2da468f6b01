// What `tessera serve` can be told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/cluster_options.hpp"
#include "app/local_cluster.hpp"
#include "gateway/options.hpp"
#include "runtime/base/result.hpp"

namespace CLI {
class App;
}

namespace tessera::app {

struct ServeOptions {
  std::string model, name;
  ClusterOptions cluster;
  LocalClusterOptions node;
  gateway::ListenOptions address{"127.0.0.1", 8080};
  std::vector<std::string> listen;  ///< in place of `address`
  gateway::GatewayOptions gateway;
  std::uint32_t kv_positions = 0;
  client::Speculation speculation = client::Speculation::automatic;
  std::uint32_t body_mb = 16;
  std::uint32_t drain_s = 30;
  bool json = false;
};

/// `options` outlives the command's parsing.
void add_serve_options(CLI::App& command, ServeOptions& options);
/// What can be known of a gateway's options before it starts: a model that is loaded first takes a while. The gateway
/// looks again. Errors:
/// invalid_argument, those of the files that are named.
Result<void> check_gateway(const gateway::GatewayOptions& options);
/// Once they are parsed: puts what was given in parts where the gateway looks for it. Errors: invalid_argument.
Result<void> settle(ServeOptions& options);

}  // namespace tessera::app
