#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/cluster_options.hpp"
#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/report.hpp"
#include "app/status_line.hpp"
#include "cluster/config/launch.hpp"
#include "cluster/config/launch_lock.hpp"

namespace tessera::app {

namespace {

struct UpOptions {
  std::string config;
  std::uint32_t timeout_s = 60;
  bool keep = false;
  bool json = false;
};

struct DownOptions {
  std::string config;
  std::uint32_t patience_s = 10;
  bool json = false;
};

/// Starts the nodes of one configuration and remembers which ones, so that a failed launch leaves nothing behind.
class Launcher {
 public:
  Launcher(const ClusterConfig& config, const UpOptions& options, std::filesystem::path binary)
      : config_(config), options_(options), launch_(config, settings(std::move(binary))) {}

  /// The coordinator first: the others register with it.
  Result<void> run() {
    TESSERA_CHECK(start(config_.coordinator_node()));
    TESSERA_CHECK(wait());
    for (const NodeConfig& node : config_.nodes) {
      if (node.name != config_.coordinator) TESSERA_CHECK(start(node));
    }
    return wait();
  }

  /// Ends what run() has started.
  void stop() const {
    const StateFolder state(config_.state_dir);
    const auto running = list_running_nodes(state);
    if (!running) return;
    std::vector<RunningNode> ours;
    for (const RunningNode& node : *running) {
      if (std::find(started_.begin(), started_.end(), node.name) != started_.end()) ours.push_back(node);
    }
    if (const auto stopped = stop_nodes(state, ours, std::chrono::seconds(5)); !stopped) {
      std::fprintf(stderr, "tessera: %s\n", stopped.error().message.c_str());
    }
  }

  const std::vector<std::string>& started() const { return started_; }

 private:
  static LaunchSettings settings(std::filesystem::path binary) {
    LaunchSettings settings;
    settings.binary = std::move(binary);
    return settings;
  }

  Result<void> start(const NodeConfig& node) {
    std::string token;
    if (!is_local_host(node.host)) {
      TESSERA_TRY(token, join_token(node));
    }
    TESSERA_TRY(const LaunchState state, launch_.start(node.name, token));
    if (state == LaunchState::started) {
      started_.push_back(node.name);
      waiting_.push_back(node.name);
    }
    report(node.name, state);
    return {};
  }

  /// In slices, so that Ctrl-C is heard: after one that times out the launch goes on waiting for the same nodes.
  Result<void> wait() {
    constexpr std::chrono::milliseconds slice{200};
    const TimePoint deadline = clock_.now() + std::chrono::seconds(options_.timeout_s);
    for (;;) {
      const Result<void> ready =
          launch_.wait_ready(slice, [this](const std::string& node, LaunchState state, const std::string&) {
            std::erase(waiting_, node);
            report(node, state);
          });
      if (ready || ready.error().code != ErrorCode::timed_out) return ready;
      if (interrupted()) return Error{ErrorCode::cancelled, "stopped"};
      if (clock_.now() >= deadline) return late();
    }
  }

  Error late() const {
    std::string names;
    for (const std::string& name : waiting_) names += (names.empty() ? "" : ", ") + name;
    return {ErrorCode::timed_out, "not ready within " + std::to_string(options_.timeout_s) + " s: " + names +
                                      "; see the logs in " + StateFolder(config_.state_dir).logs().string() +
                                      ", or give more time with --timeout"};
  }

  Result<std::string> join_token(const NodeConfig& node) {
    ClusterOptions cluster;
    cluster.cluster = config_.file.string();
    TESSERA_TRY(auto client, connect_cluster(cluster));
    client::JoinTokenRequest request;
    request.node = node.name;
    request.lifetime = std::chrono::seconds(options_.timeout_s + 60);
    return to_result(client.create_token(request));
  }

  void report(const std::string& node, LaunchState state) const {
    const NodeConfig* const known = config_.find(node);
    const char* text = "starting";
    if (state == LaunchState::was_running) text = "runs already";
    if (state == LaunchState::ready) text = "ready";
    if (state == LaunchState::failed) text = "cannot start";
    // The reason of a failure is the command's error, told at its end.
    std::fprintf(stderr, "  %-16s %-16s %s\n", node.c_str(), known ? known->host.c_str() : "", text);
  }

  const ClusterConfig& config_;
  const UpOptions& options_;
  Launch launch_;
  const SystemClock clock_;
  std::vector<std::string> started_;
  std::vector<std::string> waiting_;  ///< of them, those that are not ready yet
};

Result<std::filesystem::path> this_binary() {
  std::error_code code;
  std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", code);
  if (code) return Error{ErrorCode::io, "cannot find the binary of this process: " + code.message()};
  return path;
}

Result<void> prepare(const ClusterConfig& config) {
  if (const auto state = prepare_state(config, SystemWallClock().now()); !state) return state.error();
  return write_client_file(config);
}

int run_up(const UpOptions& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  const Result<ClusterConfig> config = load_config(options.config);
  if (!config) return fail(config.error());
  // Held to the end of this process: before the keys are made, until every node is ready or stopped again.
  const auto lock = LaunchLock::take(StateFolder(config->state_dir));
  if (!lock) return fail(lock.error());
  if (const auto prepared = prepare(*config); !prepared) return fail(prepared.error());
  auto binary = this_binary();
  if (!binary) return fail(binary.error());
  std::fprintf(stderr, "cluster %s: %zu nodes\n", config->name.c_str(), config->nodes.size());
  Launcher launcher(*config, options, *std::move(binary));
  Result<void> launched = launcher.run();
  if (launched && interrupted()) launched = Error{ErrorCode::cancelled, "stopped"};
  if (!launched) {
    if (!options.keep && !launcher.started().empty()) {
      std::fprintf(stderr, "stopping what was started (--keep lets it run)\n");
      launcher.stop();
    }
    const int code = fail(launched.error());
    return code == exit_interrupted ? code : exit_failure;
  }
  const double seconds = seconds_between(start, clock.now());
  if (options.json) {
    const bool printed = print_json({{"cluster", config->name},
                                     {"nodes", config->nodes.size()},
                                     {"started", launcher.started()},
                                     {"state_dir", config->state_dir.string()},
                                     {"timings", {{"seconds", seconds}}}});
    return printed ? exit_ok : fail_closed_stdout();
  }
  std::printf("cluster %s: %zu nodes ready in %.1f s\n", config->name.c_str(), config->nodes.size(), seconds);
  return exit_ok;
}

int run_down(const DownOptions& options) {
  const Result<ClusterConfig> config = load_config(options.config);
  if (!config) return fail(config.error());
  const StateFolder state(config->state_dir);
  // What is being started at this moment would be missed.
  if (const auto free = LaunchLock::check_free(state); !free) return fail(free.error());
  const auto running = list_running_nodes(state);
  if (!running) return fail(running.error());
  const SystemClock clock;
  StatusLine line(clock, std::chrono::milliseconds(0));
  if (line.on_terminal()) line.show("stopping " + std::to_string(running->size()) + " nodes");
  const auto stopped = stop_nodes(state, *running, std::chrono::seconds(options.patience_s));
  line.clear();
  if (!stopped) return fail(stopped.error());
  if (options.json) {
    nlohmann::json nodes = nlohmann::json::array();
    for (const StoppedNode& node : *stopped) {
      nodes.push_back({{"name", node.name}, {"pid", node.pid}, {"killed", node.killed}});
    }
    return print_json({{"cluster", config->name}, {"stopped", nodes}}) ? exit_ok : fail_closed_stdout();
  }
  for (const StoppedNode& node : *stopped) {
    std::printf("  %-16s %s\n", node.name.c_str(), node.killed ? "did not end in time, so it was killed" : "stopped");
  }
  std::printf("cluster %s: %s\n", config->name.c_str(),
              stopped->empty() ? "no node runs" : (std::to_string(stopped->size()) + " nodes stopped").c_str());
  return exit_ok;
}

}  // namespace

void add_launch_commands(CLI::App& app, Action& action) {
  auto* const up = app.add_subcommand("up", "Start every node of a cluster and wait until they are ready");
  auto up_options = std::make_shared<UpOptions>();
  up->add_option("CONFIG", up_options->config, "The cluster's configuration (cluster.toml)")->required();
  up->add_option("--timeout", up_options->timeout_s, "Seconds that the nodes have to get ready")
      ->check(CLI::Range(1u, 3600u))
      ->capture_default_str();
  up->add_flag("--keep", up_options->keep, "When a node cannot start, let the others run");
  up->add_flag("--json", up_options->json, "Print one JSON object");
  up->callback([=, &action] { action = [up_options] { return run_up(*up_options); }; });

  auto* const down = app.add_subcommand("down", "Stop every node of a cluster that was launched from this machine");
  auto down_options = std::make_shared<DownOptions>();
  down->add_option("CONFIG", down_options->config, "The cluster's configuration (cluster.toml)")->required();
  down->add_option("--patience", down_options->patience_s, "Seconds that nodes have to end by themselves")
      ->check(CLI::Range(0u, 3600u))
      ->capture_default_str();
  down->add_flag("--json", down_options->json, "Print one JSON object");
  down->callback([=, &action] { action = [down_options] { return run_down(*down_options); }; });
}

}  // namespace tessera::app
