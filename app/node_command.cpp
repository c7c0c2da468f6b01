#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <poll.h>
#include <string>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "actors/node.hpp"
#include "app/commands.hpp"
#include "app/gateway_node.hpp"
#include "app/interrupt.hpp"
#include "app/numa_option.hpp"
#include "app/report.hpp"
#include "cluster/auth/fetch_authority.hpp"
#include "cluster/auth/join_token.hpp"
#include "cluster/auth/private_file.hpp"
#include "cluster/config/readiness.hpp"
#include "cluster/config/state_folder.hpp"
#include "cluster/rpc/join_service.hpp"
#include "cluster/rpc/rpc_thread.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/log.hpp"
#include "runtime/device/topology.hpp"

namespace tessera::app {

namespace {

constexpr std::chrono::milliseconds join_deadline{15'000};

struct NodeCommandOptions {
  std::string config;
  NodeConfig node;
  std::string join, token, state_dir;
  std::string memory, wait = "auto", data_plane = "encrypted";
  bool stop_with_stdin = false;
};

std::chrono::sys_seconds wall_clock() { return SystemWallClock().now(); }

/// What the file says of one of its nodes, with the keys that `tessera up` made.
Result<NodeSettings> configured(const NodeCommandOptions& options) {
  TESSERA_TRY(const ClusterConfig config, load_config(options.config));
  const NodeConfig* const node = config.find(options.node.name);
  if (node == nullptr) {
    std::string names;
    for (const NodeConfig& known : config.nodes) names += (names.empty() ? "" : ", ") + known.name;
    return Error{ErrorCode::invalid_argument,
                 options.config + " has no node '" + options.node.name + "'; it has " + names};
  }
  const StateFolder state(config.state_dir);
  // `tessera up` has done it; a coordinator that is started by hand or by systemd does it here.
  if (node->name == config.coordinator) {
    TESSERA_TRY(const CertificateAuthority authority, prepare_state(config, wall_clock()));
    static_cast<void>(authority);
  }
  NodeSettings settings;
  settings.cluster = config.name;
  settings.node = *node;
  TESSERA_TRY(settings.authority_pem, load_authority_certificate(state));
  if (node->has(Role::worker)) {
    TESSERA_TRY(settings.credentials, load_credentials(state, {Role::worker, node->name}, wall_clock()));
  }
  settings.coordinator = {Role::coordinator, config.coordinator};
  settings.coordinator_rpc = {config.coordinator_node().host, config.coordinator_node().rpc_port};
  settings.data_plane = config.security.data_plane;
  settings.wait = config.wait;
  settings.heartbeat = config.timeouts.heartbeat;
  settings.request_deadline = config.timeouts.request;
  settings.stall = config.timeouts.stall;
  if (node->name == config.coordinator) {
    TESSERA_TRY(auto credentials, load_credentials(state, settings.coordinator, wall_clock()));
    TESSERA_TRY(auto authority, load_authority(state));
    settings.coordinates = CoordinatorSettings{std::move(credentials), std::move(authority), state.store(),
                                               config.storage,         config.timeouts,      config.network};
  }
  if (node->has(Role::gateway)) {
    TESSERA_TRY(settings.attends, load_credentials(state, {Role::gateway, node->name}, wall_clock()));
  }
  return settings;
}

Result<std::string> read_token(const std::string& option) {
  if (option != "-") return option;
  std::string line;
  if (!std::getline(std::cin, line)) {
    return Error{ErrorCode::invalid_argument, "--token -: standard input ended before a token came"};
  }
  return line;
}

/// Trades the token for a certificate. The key never leaves this machine.
Result<JoinAnswer> join(const Endpoint& endpoint, const JoinToken& token, const std::string& name,
                        const StateFolder& state) {
  TESSERA_TRY(const FetchedAuthority authority,
              fetch_authority(endpoint.host, endpoint.port, token.authority, join_deadline));
  TESSERA_TRY(const CertificateRequest request, make_certificate_request());
  TESSERA_TRY(const auto thread, RpcThread::start());
  struct Answer {
    std::mutex mutex;
    std::condition_variable arrived;
    std::optional<Result<JoinAnswer>> value;
  };
  const auto answer = std::make_shared<Answer>();
  join_cluster(*thread, {endpoint, authority.certificate_pem, authority.coordinator, join_deadline},
               {to_text(token), request.request_pem, name}, [answer](Result<JoinAnswer> result) {
                 const std::lock_guard lock(answer->mutex);
                 answer->value = std::move(result);
                 answer->arrived.notify_all();
               });
  std::unique_lock lock(answer->mutex);
  answer->arrived.wait(lock, [&] { return answer->value.has_value(); });
  if (!*answer->value) return answer->value->error();
  JoinAnswer joined = **answer->value;
  TESSERA_CHECK(
      store_credentials(state, joined.identity, {joined.certificate_pem, request.key_pem}, authority.certificate_pem));
  return joined;
}

/// What a joiner must remember beside its certificate, so that it can come back without a new token.
std::filesystem::path membership_file(const StateFolder& state) { return state.root() / "member.json"; }

Result<void> remember(const StateFolder& state, const JoinAnswer& joined) {
  const nlohmann::json json{{"cluster", joined.cluster},
                            {"name", joined.identity.name},
                            {"coordinator", joined.coordinator.name},
                            {"host", joined.coordinator_rpc.host},
                            {"port", joined.coordinator_rpc.port}};
  return write_file_atomically(membership_file(state), json.dump() + "\n", FileAccess::owner);
}

/// Nothing when the folder belongs to no member yet.
Result<std::optional<JoinAnswer>> remembered(const StateFolder& state, const std::string& name) {
  std::ifstream file(membership_file(state));
  if (!file) return std::optional<JoinAnswer>();
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  const Error damaged{ErrorCode::corrupt,
                      membership_file(state).string() + " is damaged; remove the folder and join with a new token"};
  if (!json.is_object()) return damaged;
  try {
    JoinAnswer joined;
    joined.cluster = json.at("cluster").get<std::string>();
    joined.identity = {Role::worker, json.at("name").get<std::string>()};
    joined.coordinator = {Role::coordinator, json.at("coordinator").get<std::string>()};
    joined.coordinator_rpc = {json.at("host").get<std::string>(), json.at("port").get<std::uint16_t>()};
    if (joined.identity.name != name) {
      return Error{ErrorCode::invalid_argument, state.root().string() + " belongs to node '" + joined.identity.name +
                                                    "'; use --name " + joined.identity.name +
                                                    " or another --state-dir"};
    }
    return std::optional<JoinAnswer>(std::move(joined));
  } catch (const nlohmann::json::exception&) {
    return damaged;
  }
}

/// A member comes back with the token that it was given once; one of another cluster means the wrong folder.
Result<void> check_same_cluster(const JoinAnswer& member, const JoinToken& token, const StateFolder& state) {
  TESSERA_TRY(const std::string authority, load_authority_certificate(state));
  TESSERA_TRY(const Fingerprint fingerprint, fingerprint_of(authority));
  if (fingerprint == token.authority) return {};
  return Error{ErrorCode::invalid_argument,
               state.root().string() + " belongs to a member of cluster '" + member.cluster +
                   "', and the token is of another one; use another --state-dir, or remove the folder to leave '" +
                   member.cluster + "' for good"};
}

/// With the token, or without it when this node is a member already.
Result<JoinAnswer> admitted(const NodeCommandOptions& options, const StateFolder& state) {
  TESSERA_TRY(auto member, remembered(state, options.node.name));
  TESSERA_TRY(const Endpoint endpoint, parse_endpoint(options.join));
  TESSERA_TRY(const std::string text, read_token(options.token));
  TESSERA_TRY(const JoinToken token, parse_join_token(text));
  if (member) {
    TESSERA_CHECK(check_same_cluster(*member, token, state));
    return std::move(*member);
  }
  TESSERA_TRY(JoinAnswer joined, join(endpoint, token, options.node.name, state));
  if (joined.coordinator_rpc.host.empty()) joined.coordinator_rpc.host = endpoint.host;
  TESSERA_CHECK(remember(state, joined));
  return joined;
}

/// A node that no configuration knows.
Result<NodeSettings> joining(const NodeCommandOptions& options) {
  TESSERA_CHECK(check_name("node", options.node.name));
  NodeSettings settings;
  settings.node = options.node;
  settings.node.roles = {Role::worker};
  if (!options.memory.empty()) {
    TESSERA_TRY(settings.node.memory_bytes, parse_byte_size(options.memory));
  }
  TESSERA_TRY(settings.wait, parse_exchange_wait(options.wait));
  TESSERA_TRY(settings.data_plane, parse_data_plane(options.data_plane));
  const StateFolder state(options.state_dir.empty() ? std::filesystem::path(".tessera") / options.node.name
                                                    : std::filesystem::path(options.state_dir));
  TESSERA_TRY(const JoinAnswer joined, admitted(options, state));
  settings.cluster = joined.cluster;
  TESSERA_TRY(settings.authority_pem, load_authority_certificate(state));
  TESSERA_TRY(settings.credentials, load_credentials(state, joined.identity, wall_clock()));
  settings.coordinator = joined.coordinator;
  settings.coordinator_rpc = joined.coordinator_rpc;
  return settings;
}

/// Whoever launched this node over ssh is gone when standard input ends.
bool stdin_ended() {
  pollfd poll_in{STDIN_FILENO, POLLIN, 0};
  if (::poll(&poll_in, 1, 0) <= 0) return false;
  char byte;
  return ::read(STDIN_FILENO, &byte, 1) <= 0;
}

Result<void> serve(const NodeCommandOptions& options) {
  TESSERA_TRY(NodeSettings settings, options.join.empty() ? configured(options) : joining(options));
  TESSERA_CHECK(place_process(settings.node.numa));
  settings.log = keep_log_tail();
  const auto stopped = [&] { return interrupted() || (options.stop_with_stdin && stdin_ended()); };
  if (settings.node.gateway) return serve_gateway(std::move(settings), stopped);
  settings.on_ready = [] { announce_ready(); };
  TESSERA_TRY(const auto node, Node::start(settings));
  return node->wait(stopped);
}

int run(const NodeCommandOptions& options) {
  if (options.node.name.empty()) return fail({ErrorCode::invalid_argument, "give the node a name: --name w2"});
  if (options.config.empty() == options.join.empty()) {
    return fail(
        {ErrorCode::invalid_argument,
         "a node starts from a configuration (--config cluster.toml) or joins one (--join HOST:PORT --token T); "
         "give one of the two"});
  }
  if (!options.join.empty() && options.token.empty()) {
    return fail({ErrorCode::invalid_argument, "--join needs --token T; `tessera token create` makes one"});
  }
  const Result<void> result = serve(options);
  if (result) return exit_ok;
  announce_failure(result.error().message);
  return fail(result.error());
}

}  // namespace

void add_node_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("node", "Run one node of a cluster in the foreground");
  auto options = std::make_shared<NodeCommandOptions>();
  command->add_option("--config", options->config, "The cluster's cluster.toml");
  command->add_option("--name", options->node.name, "Name of this node");
  const char* const group = "Joining without a configuration";
  command->add_option("--join", options->join, "HOST:PORT of the coordinator's join listener")->group(group);
  command->add_option("--token", options->token, "Join token, or - to read it from standard input")->group(group);
  command->add_option("--state-dir", options->state_dir, "Where keys are kept (default: .tessera/NAME)")->group(group);
  command->add_option("--host", options->node.host, "Address by which the others reach this node")
      ->group(group)
      ->capture_default_str();
  command->add_option("--rpc-port", options->node.rpc_port, "0: any free one")->group(group)->capture_default_str();
  command->add_option("--data-port", options->node.data_port, "0: any free one")->group(group)->capture_default_str();
  command->add_option("--cores", options->node.cores, "0: all of the machine")->group(group)->capture_default_str();
  add_numa_option(*command, options->node.numa)->group(group);
  command->add_option("--memory", options->memory, "For models, for example 4GiB (default: all of the machine)")
      ->group(group);
  command->add_option("--isa", options->node.isa, "auto, scalar, avx2, avx512 or avx512bf16")
      ->group(group)
      ->capture_default_str();
  command->add_option("--wait", options->wait, "How a shard waits for others: auto, spin or block")
      ->group(group)
      ->capture_default_str();
  command->add_option("--data-plane", options->data_plane, "encrypted or plain, as the cluster's configuration says")
      ->group(group)
      ->capture_default_str();
  command->add_flag("--stop-with-stdin", options->stop_with_stdin, "End when standard input ends")->group(group);
  const CLI::Option* const level = app.get_option("--log-level");
  command->callback([options, level, &action] {
    action = [options, quiet = level->count() == 0] {
      // A node's log is what its operator reads; other commands only warn.
      if (quiet) static_cast<void>(configure_log("info"));
      return run(*options);
    };
  });
}

}  // namespace tessera::app
