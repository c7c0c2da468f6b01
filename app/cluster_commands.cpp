#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/cluster_options.hpp"
#include "app/cluster_view.hpp"
#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/report.hpp"
#include "app/status_line.hpp"

namespace tessera::app {

namespace {

struct StatusOptions {
  ClusterOptions cluster;
  bool json = false;
  bool watch = false;
  std::uint32_t interval_ms = 500;
};

struct DrainOptions {
  ClusterOptions cluster;
  std::string node;
  bool json = false;
};

struct LogsOptions {
  ClusterOptions cluster;
  std::string node;
  std::uint32_t lines = 100;
  bool follow = false;
};

struct TokenOptions {
  ClusterOptions cluster;
  client::JoinTokenRequest request;
  std::uint32_t lifetime_s = 3600;
  bool json = false;
};

int run_status(const StatusOptions& options) {
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  bool printed = true;
  const auto print = [&](const client::ClusterStatus& status) {
    // A watched table starts where the last one did.
    if (options.json) {
      printed = print_json(to_json(status));
    } else {
      printed = print_text((options.watch ? "\033[H\033[J" : "") + table(status));
    }
  };
  if (!options.watch) {
    const auto status = client->status();
    if (!status) return fail(to_error(status.error()));
    print(*status);
    return printed ? exit_ok : fail_closed_stdout();
  }
  const auto watched = client->watch_status(
      [&](const client::ClusterStatus& status) {
        if (!interrupted()) print(status);
        return printed && !interrupted();
      },
      std::chrono::milliseconds(options.interval_ms));
  if (!printed) return fail_closed_stdout();
  if (interrupted()) return exit_interrupted;
  return watched ? exit_ok : fail(to_error(watched.error()));
}

int run_drain(const DrainOptions& options) {
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  const SystemClock clock;
  const TimePoint start = clock.now();
  StatusLine line(clock);
  const auto drained = client->drain(options.node, [&](const client::NodeStatus& node) {
    line.show(node.name + ": " + to_string(node.state) + ", " + std::to_string(node.shards) + " shards left");
    return !interrupted();
  });
  line.clear();
  if (!drained) return fail(to_error(drained.error()));
  const double seconds = seconds_between(start, clock.now());
  if (options.json) {
    return print_json({{"node", options.node}, {"timings", {{"seconds", seconds}}}}) ? exit_ok : fail_closed_stdout();
  }
  std::printf("%s holds no shard any more (%.2f s); it can be stopped\n", options.node.c_str(), seconds);
  return exit_ok;
}

int run_logs(const LogsOptions& options) {
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  bool printed = true;
  const auto print = [&](const std::string& line) {
    printed = print_text(line + "\n");
    return printed && !interrupted();
  };
  const auto read = client->logs(options.node, options.lines, options.follow, print);
  if (!printed) return fail_closed_stdout();
  if (interrupted()) return exit_interrupted;
  return read ? exit_ok : fail(to_error(read.error()));
}

int run_token_create(const TokenOptions& options) {
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  client::JoinTokenRequest request = options.request;
  request.lifetime = std::chrono::seconds(options.lifetime_s);
  const auto token = client->create_token(request);
  if (!token) return fail(to_error(token.error()));
  const bool printed =
      options.json
          ? print_json(
                {{"token", *token}, {"role", request.role}, {"node", request.node}, {"lifetime_s", options.lifetime_s}})
          : print_text(*token + "\n");
  return printed ? exit_ok : fail_closed_stdout();
}

void add_status(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("status", "Show a cluster's nodes, deployments, plans, memory and load");
  auto options = std::make_shared<StatusOptions>();
  add_cluster_option(*command, options->cluster);
  command->add_flag("--json", options->json, "Print one JSON object; with --watch one per change, a line each");
  auto* const watch = command->add_flag("--watch", options->watch, "Go on and show every change");
  command->add_option("--interval-ms", options->interval_ms, "How often --watch asks")
      ->check(CLI::Range(50u, 60'000u))
      ->needs(watch)
      ->capture_default_str();
  command->callback([=, &action] { action = [options] { return run_status(*options); }; });
}

void add_drain(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("drain", "Move every shard away from a node, and give it no more");
  auto options = std::make_shared<DrainOptions>();
  add_cluster_option(*command, options->cluster);
  command->add_option("NODE", options->node, "Name of the node")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_drain(*options); }; });
}

void add_logs(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("logs", "Show the log of a node");
  auto options = std::make_shared<LogsOptions>();
  add_cluster_option(*command, options->cluster);
  command->add_option("NODE", options->node, "Name of the node")->required();
  command->add_option("-n,--lines", options->lines, "Lines to begin with, counted from the end")
      ->check(CLI::Range(1u, 4096u))
      ->capture_default_str();
  command->add_flag("-f,--follow", options->follow, "Go on with what is written from now");
  command->callback([=, &action] { action = [options] { return run_logs(*options); }; });
}

void add_token(CLI::App& app, Action& action) {
  auto* const token = app.add_subcommand("token", "Tokens that let nodes join");
  token->require_subcommand(1);
  auto* const command = token->add_subcommand(
      "create", "Print a new token: it lets one node join, once (tessera node --join HOST:PORT --token TOKEN)");
  auto options = std::make_shared<TokenOptions>();
  add_cluster_option(*command, options->cluster);
  command->add_option("--ttl", options->lifetime_s, "Seconds until it expires")
      ->check(CLI::Range(1u, 30u * 24 * 3600))
      ->capture_default_str();
  command->add_option("--role", options->request.role, "What the newcomer is")
      ->check(CLI::IsMember({"worker", "gateway", "operator", "user"}))
      ->capture_default_str();
  command->add_option("--node", options->request.node, "The only name that it may take (default: any that is free)");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_token_create(*options); }; });
}

}  // namespace

void add_cluster_commands(CLI::App& app, Action& action) {
  add_status(app, action);
  add_drain(app, action);
  add_logs(app, action);
  add_token(app, action);
}

}  // namespace tessera::app
