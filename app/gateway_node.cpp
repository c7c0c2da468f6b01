#include "app/gateway_node.hpp"

#include <atomic>
#include <memory>
#include <utility>

#include "app/interrupt.hpp"
#include "app/serve_options.hpp"
#include "cluster/config/readiness.hpp"
#include "gateway/cluster_models.hpp"
#include "gateway/gateway.hpp"
#include "gateway/listen.hpp"
#include "runtime/base/log.hpp"

namespace tessera::app {

namespace {

/// As a member of the cluster: with the gateway's own certificate.
client::Options client_options(const NodeSettings& settings, const Endpoint& coordinator) {
  client::Options options;
  options.coordinator = to_string(coordinator);
  options.server_name = settings.coordinator.name;
  options.authority_pem = settings.authority_pem;
  options.certificate_pem = settings.attends->certificate_pem;
  options.key_pem = settings.attends->key_pem;
  return options;
}

/// What serves, in the order in which it is made.
struct Serving {
  std::unique_ptr<gateway::ClusterModels> models;
  std::unique_ptr<gateway::Gateway> gateway;
};

Result<Serving> start(const NodeSettings& settings, const Endpoint& coordinator,
                      const gateway::GatewayOptions& options) {
  Serving serving;
  TESSERA_TRY(serving.models, gateway::ClusterModels::connect(client_options(settings, coordinator)));
  TESSERA_TRY(serving.gateway, gateway::Gateway::start(options, *serving.models));
  for (std::size_t i = 0; i < options.listen.size(); ++i)
    log_info("serves " + to_text(options.listen[i].sets) + " at " + serving.gateway->url(i));
  return serving;
}

}  // namespace

Result<gateway::GatewayOptions> gateway_options(const GatewayConfig& config) {
  gateway::GatewayOptions options;
  options.listen.clear();
  for (const std::string& text : config.listen) {
    TESSERA_TRY(const gateway::ListenOptions address, gateway::parse_listen(text));
    options.listen.push_back(address);
  }
  options.key_file = config.keys.string();
  options.tls_certificate = config.tls_certificate.string();
  options.tls_key = config.tls_key.string();
  options.access_log = config.access_log.string();
  options.cors_origins = config.cors_origins;
  options.default_model = config.default_model;
  options.open_metrics = config.open_metrics;
  options.insecure_http = config.insecure_http;
  options.streams_max = config.streams_max;
  return options;
}

Result<void> serve_gateway(NodeSettings settings, const std::function<bool()>& stopped) {
  TESSERA_TRY(gateway::GatewayOptions options, gateway_options(*settings.node.gateway));
  TESSERA_CHECK(check_gateway(options));
  if (!options.access_log.empty()) {
    install_hangup_handler();
    options.reopen_access_log = take_hangup;
  }
  const auto registered = std::make_shared<std::atomic<bool>>(false);
  settings.on_ready = [registered] { *registered = true; };
  TESSERA_TRY(const auto node, Node::start(settings));
  const Endpoint coordinator = settings.coordinates ? node->rpc() : settings.coordinator_rpc;
  TESSERA_CHECK(node->wait([&] { return *registered || stopped(); }));
  if (!*registered) return {};
  TESSERA_TRY(const Serving serving, start(settings, coordinator, options));
  announce_ready();
  const Result<void> ended = node->wait(stopped);
  if (!ended) return ended;
  // Nothing that runs here is needed for requests to end but the node's own shards, which stay that long.
  if (!serving.gateway->drain(settings.node.gateway->drain)) {
    log_warning("some requests did not end within " + std::to_string(settings.node.gateway->drain.count()) +
                " s and were cut off; give more time with drain_s");
  }
  return {};
}

}  // namespace tessera::app
