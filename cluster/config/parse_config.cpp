#include <algorithm>
#include <charconv>
#include <map>

#include "cluster/auth/private_file.hpp"
#include "cluster/config/cluster_config.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/config/config_section.hpp"

namespace tessera {

namespace {

constexpr std::int64_t minute_ms = 60'000;
/// A message lists the names of the nodes only if they are few.
constexpr std::size_t shown_names_max = 20;
constexpr std::uint64_t node_memory_min = 1u << 20;
constexpr std::int64_t numa_nodes_max = 1024;  // the most that Linux counts
constexpr std::size_t shown_listen_max = 64;

bool is_host(std::string_view host) {
  constexpr std::string_view marks = ".-:_";
  constexpr std::size_t host_bytes_max = 253;
  return !host.empty() && host.size() <= host_bytes_max && host.front() != '-' &&
         std::ranges::all_of(host, [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  marks.find(c) != std::string_view::npos;
         });
}

/// Reads the whole file into a ClusterConfig. Lives for one file.
class Reader {
 public:
  Reader(const toml::table& top, const std::filesystem::path& file) : top_(top, "", faults_) { config_.file = file; }

  Result<ClusterConfig> read();

 private:
  void read_top();
  void read_paths();
  void read_nodes();
  void read_node(const toml::table& table, std::size_t index);
  void read_address(ConfigSection& section, NodeConfig& node);
  void read_roles(ConfigSection& section, NodeConfig& node);
  void read_resources(ConfigSection& section, NodeConfig& node);
  void read_ports(ConfigSection& section, NodeConfig& node);
  void read_gateway(ConfigSection& section, NodeConfig& node);
  void read_listen(ConfigSection& section, const NodeConfig& node, GatewayConfig& gateway);
  void claim_port(ConfigSection& section, const NodeConfig& node, const std::string& key, std::uint16_t port);
  void read_timeouts();
  void read_security();
  void read_exchange();
  void check_hosts();

  ConfigFaults faults_;
  ConfigSection top_;
  ClusterConfig config_;
  std::map<std::string, std::size_t> name_lines_;                           // of the nodes so far
  std::map<std::pair<std::string, std::uint16_t>, std::string> listeners_;  // who has which port of which host
};

Result<ClusterConfig> Reader::read() {
  read_top();
  read_paths();
  read_nodes();
  read_timeouts();
  read_security();
  read_exchange();
  check_hosts();
  top_.finish();
  if (faults_.any()) return faults_.error(config_.file);
  return std::move(config_);
}

void Reader::read_top() {
  if (!top_.has("name")) top_.fault("name", "it is missing; write the cluster's name, such as name = \"demo\"");
  if (const auto name = top_.text("name")) {
    config_.name = *name;
    if (const auto valid = check_name("cluster", *name); !valid) top_.fault("name", valid.error().message);
  }
  if (!top_.has("coordinator")) {
    top_.fault("coordinator",
               "it is missing; write the name of the node that coordinates, such as coordinator = \"c\"");
  }
  config_.coordinator = top_.text("coordinator").value_or("");
}

void Reader::read_paths() {
  const std::filesystem::path folder = config_.file.parent_path();
  const std::string storage = top_.text("storage").value_or("file:.");
  constexpr std::string_view scheme = "file:";
  if (!storage.starts_with(scheme) || storage.size() == scheme.size() || storage.starts_with("file://")) {
    top_.fault("storage", "it is not a place that this build can read; write file:FOLDER, such as \"file:models\"");
  } else {
    config_.storage = (folder / storage.substr(scheme.size())).lexically_normal();
  }
  const auto state_dir = top_.text("state_dir");
  if (state_dir && state_dir->empty()) top_.fault("state_dir", "it is empty; write a folder, or leave the key out");
  config_.state_dir = (folder / state_dir.value_or(".tessera/" + config_.name)).lexically_normal();
}

void Reader::read_nodes() {
  const auto tables = top_.tables("nodes");
  if (tables.empty() && !top_.has("nodes")) top_.fault("nodes", "there are none; write a [[nodes]] for each node");
  if (tables.size() > config_nodes_max) {
    top_.fault("nodes",
               "there are " + std::to_string(tables.size()) + " nodes, more than " + std::to_string(config_nodes_max));
    return;
  }
  for (std::size_t i = 0; i < tables.size(); ++i) read_node(*tables[i], i);
  if (!config_.coordinator.empty() && !config_.find(config_.coordinator)) {
    std::vector<std::string> names;
    for (const NodeConfig& node : config_.nodes) names.push_back(node.name);
    const bool listed = !names.empty() && names.size() <= shown_names_max;
    top_.fault("coordinator", "no node has this name" + suggestion(config_.coordinator, names) +
                                  (listed ? " Accepted: " + one_of(names) : ""));
  }
}

void Reader::read_node(const toml::table& table, std::size_t index) {
  const std::string* const named =
      table.get("name") && table.get("name")->is_string() ? &table.get("name")->as_string()->get() : nullptr;
  const bool nameable = named && is_valid_name(*named);
  ConfigSection section(table, "nodes" + (nameable ? "." + *named : "[" + std::to_string(index) + "]"), faults_);
  NodeConfig node;
  if (!section.has("name")) section.fault("name", "it is missing; write the node's name, such as name = \"w1\"");
  if (const auto name = section.text("name")) {
    node.name = *name;
    if (const auto valid = check_name("node", *name); !valid) section.fault("name", valid.error().message);
    const auto [first, is_new] = name_lines_.emplace(*name, section.line("name"));
    if (!is_new) section.fault("name", "the node on line " + std::to_string(first->second) + " has the same name");
  }
  read_address(section, node);
  read_roles(section, node);
  read_resources(section, node);
  read_ports(section, node);
  read_gateway(section, node);
  section.finish();
  config_.nodes.push_back(std::move(node));
}

void Reader::read_address(ConfigSection& section, NodeConfig& node) {
  if (const auto host = section.text("host")) {
    if (is_host(*host)) {
      node.host = *host;
    } else {
      section.fault("host", "it is not a host; write a name or an address, such as \"10.0.0.7\"");
    }
  }
  if (const auto ssh = section.text("ssh")) {
    const std::size_t at = ssh->find('@');
    const bool has_user = at != std::string::npos && at > 0 && is_host(ssh->substr(0, at));
    if (is_host(has_user ? ssh->substr(at + 1) : *ssh)) {
      node.ssh = *ssh;
    } else {
      section.fault("ssh", "it is not what ssh can reach; write HOST or USER@HOST");
    }
  }
}

void Reader::read_roles(ConfigSection& section, NodeConfig& node) {
  const std::vector<std::string> accepted{to_string(Role::coordinator), to_string(Role::worker),
                                          to_string(Role::gateway)};
  const bool coordinates = !node.name.empty() && node.name == config_.coordinator;
  const auto roles = section.texts("roles");
  if (!roles) {
    node.roles = {coordinates ? Role::coordinator : Role::worker};
    return;
  }
  for (const std::string& text : *roles) {
    const auto role = parse_role(text);
    if (!role || std::ranges::find(accepted, text) == accepted.end()) {
      section.fault("roles", "\"" + text.substr(0, name_length_max) + "\" is not a role of a node" +
                                 suggestion(text, accepted) + " Accepted: " + one_of(accepted));
      continue;
    }
    node.roles.push_back(*role);
  }
  if (coordinates != node.has(Role::coordinator)) {
    section.fault("roles", coordinates ? "this node is the cluster's coordinator; add \"coordinator\""
                                       : "only the node that the key coordinator names may have the role coordinator");
  }
}

void Reader::read_resources(ConfigSection& section, NodeConfig& node) {
  node.cores = static_cast<std::uint32_t>(section.integer("cores", 1, limits::threads_max).value_or(0));
  if (const auto numa = section.integer("numa", 0, numa_nodes_max - 1)) node.numa = static_cast<std::uint32_t>(*numa);
  if (const auto memory = section.text("memory")) {
    const auto bytes = parse_byte_size(*memory);
    if (!bytes) {
      section.fault("memory", bytes.error().message);
    } else if (*bytes < node_memory_min) {
      section.fault("memory", "it is less than 1MiB; leave the key out to use what the machine has");
    } else {
      node.memory_bytes = *bytes;
    }
  }
  if (const auto devices = section.texts("devices")) {
    for (const std::string& device : *devices) {
      if (device != "cpu") section.fault("devices", "\"" + device.substr(0, 20) + "\" is not a device. Accepted: cpu");
    }
    node.devices = *devices;
  }
  if (const auto isa = section.choice("isa", {"auto", "scalar", "avx2", "avx512", "avx512bf16"})) node.isa = *isa;
}

void Reader::read_ports(ConfigSection& section, NodeConfig& node) {
  const bool coordinates = !node.name.empty() && node.name == config_.coordinator;
  const auto port = [&](const std::string& key, std::uint16_t otherwise) {
    return static_cast<std::uint16_t>(section.integer(key, otherwise == 0 ? 0 : 1, 65535).value_or(otherwise));
  };
  node.rpc_port = port("rpc_port", coordinates ? default_rpc_port : 0);
  node.data_port = port("data_port", 0);
  if (coordinates) {
    node.join_port = port("join_port", default_join_port);
  } else if (section.has("join_port")) {
    section.integer("join_port", 1, 65535);
    section.fault("join_port", "only the coordinator listens for joiners; remove it here");
  }
  claim_port(section, node, "rpc_port", node.rpc_port);
  claim_port(section, node, "join_port", node.join_port);
  claim_port(section, node, "data_port", node.data_port);
}

void Reader::claim_port(ConfigSection& section, const NodeConfig& node, const std::string& key, std::uint16_t port) {
  if (port == 0) return;
  const std::string host = is_loopback(node.host) ? "localhost" : node.host;
  const std::string owner = (node.name.empty() ? "another node" : "node " + node.name) + ", key " + key;
  const auto [first, is_new] = listeners_.try_emplace({host, port}, owner);
  if (is_new) return;
  section.fault(key, "port " + std::to_string(port) + " of " + node.host + " is already that of " + first->second +
                         "; write another one");
}

void Reader::read_gateway(ConfigSection& section, NodeConfig& node) {
  const std::string path = "nodes." + node.name + ".gateway";
  if (!node.has(Role::gateway)) {
    if (section.table("gateway")) section.fault("gateway", "only a node with the role gateway may have it");
    return;
  }
  GatewayConfig& gateway = node.gateway.emplace();
  const toml::table none;
  const toml::table* const table = section.table("gateway");
  ConfigSection inner(table ? *table : none, path, faults_);
  const auto file = [&](const char* key, std::filesystem::path& value) {
    const auto text = inner.text(key);
    if (!text) return;
    if (text->empty()) inner.fault(key, "it is empty; write a file, or leave the key out");
    value = (config_.file.parent_path() / *text).lexically_normal();
  };
  file("keys", gateway.keys);
  file("tls_certificate", gateway.tls_certificate);
  file("tls_key", gateway.tls_key);
  file("access_log", gateway.access_log);
  if (gateway.tls_certificate.empty() != gateway.tls_key.empty())
    inner.fault(gateway.tls_key.empty() ? "tls_certificate" : "tls_key",
                "a certificate and its key go together; write both tls_certificate and tls_key");
  if (auto origins = inner.texts("cors_origins")) gateway.cors_origins = *std::move(origins);
  gateway.default_model = inner.text("default_model").value_or("");
  gateway.open_metrics = inner.boolean("open_metrics").value_or(false);
  gateway.insecure_http = inner.boolean("insecure_http").value_or(false);
  gateway.streams_max = static_cast<std::uint32_t>(inner.integer("max_streams", 1, 4096).value_or(gateway.streams_max));
  gateway.drain = std::chrono::seconds(inner.integer("drain_s", 0, 3600).value_or(gateway.drain.count()));
  read_listen(inner, node, gateway);
  inner.finish();
}

/// The names of route sets are the gateway's to know: it looks when it starts.
void Reader::read_listen(ConfigSection& section, const NodeConfig& node, GatewayConfig& gateway) {
  if (auto listen = section.texts("listen")) gateway.listen = *std::move(listen);
  for (const std::string& text : gateway.listen) {
    const std::string address = text.substr(0, text.find('='));
    const std::size_t colon = address.rfind(':');
    std::string host = address.substr(0, colon == std::string::npos ? 0 : colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    std::uint16_t port = 0;
    const char* const end = address.data() + address.size();
    const auto parsed = std::from_chars(colon == std::string::npos ? end : address.data() + colon + 1, end, port);
    if (!is_host(host) || parsed.ec != std::errc() || parsed.ptr != end) {
      section.fault("listen", "\"" + text.substr(0, shown_listen_max) +
                                  "\" is not an address; write HOST:PORT or HOST:PORT=SET,SET, such as "
                                  "\"127.0.0.1:8080\" or \"127.0.0.1:8501=tfserving,health\"");
      continue;
    }
    NodeConfig there;
    there.name = node.name;
    there.host = host;
    claim_port(section, there, "listen", port);
  }
}

void Reader::read_timeouts() {
  const toml::table* const table = top_.table("timeouts");
  if (!table) return;
  ConfigSection section(*table, "timeouts", faults_);
  TimeoutConfig& timeouts = config_.timeouts;
  const auto duration = [&](const char* key, std::int64_t min, std::int64_t max, std::chrono::milliseconds& value) {
    value = std::chrono::milliseconds(section.integer(key, min, max).value_or(value.count()));
  };
  duration("heartbeat_ms", 10, minute_ms, timeouts.heartbeat);
  duration("grace_ms", 0, 10 * minute_ms, timeouts.grace);
  duration("request_ms", 100, 60 * minute_ms, timeouts.request);
  duration("stall_ms", 1000, 60 * minute_ms, timeouts.stall);
  timeouts.misses = static_cast<std::uint32_t>(section.integer("misses", 2, 1000).value_or(timeouts.misses));
  section.finish();
}

void Reader::read_security() {
  const toml::table* const table = top_.table("security");
  if (!table) return;
  ConfigSection section(*table, "security", faults_);
  if (const auto mode = section.choice("data_plane", {"encrypted", "plain"})) {
    config_.security.data_plane = *parse_data_plane(*mode);
  }
  constexpr std::int64_t month_s = 30 * 86400;
  const auto lifetime = section.integer("token_lifetime_s", 10, month_s);
  if (lifetime) config_.security.token_lifetime = std::chrono::seconds(*lifetime);
  section.finish();
}

void Reader::read_exchange() {
  const toml::table* const table = top_.table("exchange");
  if (!table) return;
  ConfigSection section(*table, "exchange", faults_);
  if (const auto wait = section.choice("wait", {"auto", "spin", "block"})) config_.wait = *parse_exchange_wait(*wait);
  const auto latency = section.integer("latency_us", 0, 10'000'000);
  const auto rate = section.integer("mbit_per_s", 1, 10'000'000);
  if (section.has("latency_us") != section.has("mbit_per_s")) {
    section.fault(section.has("latency_us") ? "latency_us" : "mbit_per_s",
                  "latency_us and mbit_per_s describe the network together; give both, or none");
  } else if (latency && rate) {
    config_.network = NetworkConfig{std::chrono::microseconds(*latency), static_cast<std::uint64_t>(*rate)};
  }
  section.finish();
}

void Reader::check_hosts() {
  const NodeConfig* const coordinator = config_.find(config_.coordinator);
  if (!coordinator || !is_loopback(coordinator->host)) return;
  for (const NodeConfig& node : config_.nodes) {
    if (is_loopback(node.host)) continue;
    top_.fault("coordinator", "its host " + coordinator->host + " cannot be reached from node " + node.name + " on " +
                                  node.host + "; give the coordinator a host that others can reach");
    return;
  }
}

}  // namespace

Result<ClusterConfig> parse_config(std::string_view text, const std::filesystem::path& file) {
  TESSERA_TRY(const toml::table table, parse_toml(text, file, "a cluster's configuration"));
  return Reader(table, file).read();
}

Result<ClusterConfig> load_config(const std::filesystem::path& file) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(file, failed);
  if (failed) return Error{ErrorCode::io, "cannot find the folder of " + file.string() + ": " + failed.message()};
  TESSERA_TRY(const std::string text, read_text_file(absolute));
  return parse_config(text, absolute.lexically_normal());
}

}  // namespace tessera
