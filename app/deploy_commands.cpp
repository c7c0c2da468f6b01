#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/cluster_options.hpp"
#include "app/cluster_view.hpp"
#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/report.hpp"
#include "app/speculation_option.hpp"
#include "app/status_line.hpp"

namespace tessera::app {

namespace {

struct DeployOptions {
  ClusterOptions cluster;
  client::DeployRequest request;
  std::string model;
  std::uint32_t timeout_s = 120;
  bool json = false;
};

struct UndeployOptions {
  ClusterOptions cluster;
  std::string name;
  bool json = false;
};

/// A URI stays; a path that exists here becomes absolute, for the nodes have other working directories; any other is
/// relative to the cluster's storage.
std::string model_uri(const std::string& model, const FoundCluster& cluster) {
  if (model.find("://") != std::string::npos) return model;
  const std::filesystem::path path(model);
  std::error_code code;
  if (path.is_relative() && std::filesystem::exists(path, code)) {
    const std::filesystem::path absolute = std::filesystem::absolute(path, code);
    if (!code) return absolute.lexically_normal().string();
  }
  if (path.is_relative() && cluster.config) return (cluster.config->storage / path).lexically_normal().string();
  return model;
}

int run_deploy(const DeployOptions& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  auto found = find_cluster(options.cluster);
  if (!found) return fail(found.error());
  found->client.keep_going = [] { return !interrupted(); };
  found->client.deploy_deadline = std::chrono::seconds(options.timeout_s);
  client::DeployRequest request = options.request;
  request.uri = model_uri(options.model, *found);
  auto client = client::Client::connect(found->client);
  if (!client) return fail(to_error(client.error()));
  StatusLine line(clock);
  const auto deployed = client->deploy(request, [&](const client::DeploymentStatus& deployment) {
    line.show(progress_text(deployment));
    return !interrupted();
  });
  line.clear();
  if (!deployed) return fail(to_error(deployed.error()));
  const double seconds = seconds_between(start, clock.now());
  if (options.json) {
    nlohmann::json json = to_json(*deployed);
    json["timings"] = {{"seconds", seconds}};
    return print_json(json) ? exit_ok : fail_closed_stdout();
  }
  std::string shards;
  for (const client::ReplicaStatus& replica : deployed->replicas) {
    const std::size_t count = replica.serving ? replica.serving->shards.size() : 0;
    shards += (shards.empty() ? "" : " + ") + std::to_string(count);
  }
  std::printf("%s serves %s %s: %s shard%s, %.2f s\n", deployed->name.c_str(), deployed->model.c_str(),
              deployed->dtype.c_str(), shards.c_str(), shards == "1" ? "" : "s", seconds);
  for (const client::ReplicaStatus& replica : deployed->replicas) {
    if (replica.serves) continue;
    std::printf("replica %llu: %s: %s\n", static_cast<unsigned long long>(replica.replica),
                client::to_string(replica.state), replica.message.c_str());
  }
  return exit_ok;
}

int run_undeploy(const UndeployOptions& options) {
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  if (const auto undeployed = client->undeploy(options.name); !undeployed) return fail(to_error(undeployed.error()));
  if (options.json) return print_json({{"undeployed", options.name}}) ? exit_ok : fail_closed_stdout();
  std::printf("%s is served no more\n", options.name.c_str());
  return exit_ok;
}

}  // namespace

void add_deploy_commands(CLI::App& app, Action& action) {
  auto* const deploy = app.add_subcommand("deploy", "Serve a model on the cluster, and wait until it does");
  auto options = std::make_shared<DeployOptions>();
  add_cluster_option(*deploy, options->cluster);
  deploy
      ->add_option("MODEL", options->model,
                   "Checkpoint (.h5): a file here that the nodes see too, or a path in the cluster's storage")
      ->required();
  deploy->add_option("--name", options->request.name, "Name to serve it under")->required();
  deploy->add_option(
      "--workers", options->request.workers,
      "Shards (default: one on every usable worker, up to the slice count); the result has the same bits");
  deploy->add_option("--stages", options->request.stages,
                     "Pipeline stages (default: as few as memory allows); the result has the same bits");
  deploy->add_option("--kv-positions", options->request.kv_positions,
                     "Token positions of all streams of a replica (default: eight contexts, at most 16384)");
  deploy
      ->add_option("--replicas", options->request.replicas,
                   "Times that the model is there, on workers of their own where there are enough; --workers, --stages "
                   "and --kv-positions are of each")
      ->check(CLI::Range(1u, 16u))
      ->capture_default_str();
  add_speculation_option(*deploy, options->request.speculation);
  deploy->add_option("--timeout", options->timeout_s, "Seconds to wait until it serves")
      ->check(CLI::Range(1u, 24u * 3600))
      ->capture_default_str();
  deploy->add_flag("--json", options->json, "Print one JSON object");
  deploy->callback([=, &action] { action = [options] { return run_deploy(*options); }; });

  auto* const undeploy = app.add_subcommand("undeploy", "Stop serving a model; its streams end");
  auto undeploy_options = std::make_shared<UndeployOptions>();
  add_cluster_option(*undeploy, undeploy_options->cluster);
  undeploy->add_option("NAME", undeploy_options->name, "Name of the deployment")->required();
  undeploy->add_flag("--json", undeploy_options->json, "Print one JSON object");
  undeploy->callback([=, &action] { action = [undeploy_options] { return run_undeploy(*undeploy_options); }; });
}

}  // namespace tessera::app
