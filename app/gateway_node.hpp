// A node of a cluster that is a gateway: beside whatever else it is, it serves the cluster's deployments over HTTP, by
// the same code as `tessera serve --cluster`.
#pragma once

#include <functional>

#include "actors/node.hpp"
#include "cluster/config/cluster_config.hpp"
#include "gateway/options.hpp"
#include "runtime/base/result.hpp"

namespace tessera::app {

/// As the options of `tessera serve`. Errors: invalid_argument, where an address or a set of routes is none.
Result<gateway::GatewayOptions> gateway_options(const GatewayConfig& config);

/// Starts the node, and once it has registered the gateway; announces that it is ready then. Blocks until `stopped()`
/// is true (asked ten times a second), the coordinator ends the node, or it cannot go on; requests that run have the
/// configured time to end. `settings.node.gateway` and `settings.attends` are there.
Result<void> serve_gateway(NodeSettings settings, const std::function<bool()>& stopped);

}  // namespace tessera::app
