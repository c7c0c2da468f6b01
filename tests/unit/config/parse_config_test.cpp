// cluster.toml: what is understood, and what is said about what is not.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include <boost/test/unit_test.hpp>

#include "cluster/config/cluster_config.hpp"
#include "runtime/config/config_section.hpp"
#include "tests/support/paths.hpp"

namespace {

using namespace tessera;
using namespace std::chrono_literals;

// Lines 1 to 4 of every text below.
const std::string top = R"(name = "demo"
coordinator = "c"
[[nodes]]
name = "c"
)";

Result<ClusterConfig> parse(const std::string& text) { return parse_config(text, "/etc/tessera/cluster.toml"); }

ClusterConfig parsed(const std::string& text) {
  auto config = parse(text);
  BOOST_TEST_REQUIRE(bool(config), config.error().message);
  return std::move(*config);
}

std::string faults(const std::string& text) {
  const auto config = parse(text);
  if (config) return "fine";
  BOOST_TEST((config.error().code == ErrorCode::invalid_argument));
  return config.error().message;
}

/// The text's only fault, which must be on this line.
std::string fault(std::size_t line, const std::string& text) {
  const std::string message = faults(text), place = "/etc/tessera/cluster.toml:" + std::to_string(line) + ": ";
  return message.starts_with(place) ? message.substr(place.size()) : message;
}

BOOST_AUTO_TEST_SUITE(parse_config)

BOOST_AUTO_TEST_CASE(the_example_is_understood) {
  const auto file = test::test_file("../examples/cluster.toml");
  const auto config = load_config(file);
  BOOST_TEST_REQUIRE(bool(config), config.error().message);
  BOOST_TEST(config->name == "demo");
  BOOST_TEST_REQUIRE(config->nodes.size() == 5u);
  const NodeConfig& coordinator = config->coordinator_node();
  BOOST_TEST((coordinator.has(Role::coordinator) && !coordinator.has(Role::worker)));
  BOOST_TEST((coordinator.rpc_port == default_rpc_port && coordinator.join_port == default_join_port));
  for (std::size_t i = 1; i < 5; ++i) {
    const NodeConfig& worker = config->nodes[i];
    BOOST_TEST(worker.name == "w" + std::to_string(i));
    BOOST_TEST((worker.roles == std::vector{Role::worker}));
    BOOST_TEST((worker.host == "127.0.0.1" && worker.rpc_port == 0 && worker.data_port == 0 && worker.join_port == 0));
    BOOST_TEST((worker.cores == 1u && worker.memory_bytes == std::uint64_t{4} << 30));
  }
  const auto folder = std::filesystem::absolute(file).lexically_normal().parent_path();
  BOOST_TEST(config->state_dir.string() == (folder / ".tessera/demo").string());
}

BOOST_AUTO_TEST_CASE(the_values_that_the_example_shows_behind_a_hash_are_the_defaults) {
  const auto file = test::test_file("../examples/cluster.toml");
  std::ifstream stream(file);
  std::string line, text;
  while (std::getline(stream, line)) {
    const bool is_key = line.find(" = ") != std::string::npos || line.starts_with("#[");
    const bool is_value = line.starts_with("#") && is_key && line[1] != ' ';
    text += (is_value ? line.substr(1) : line) + "\n";
  }
  const ClusterConfig shown = parsed(text), plain = *load_config(file);
  BOOST_TEST((shown.timeouts.heartbeat == plain.timeouts.heartbeat && shown.timeouts.misses == plain.timeouts.misses));
  BOOST_TEST((shown.timeouts.grace == plain.timeouts.grace && shown.timeouts.request == plain.timeouts.request));
  BOOST_TEST((shown.security.data_plane == plain.security.data_plane && shown.wait == plain.wait));
  BOOST_TEST((shown.security.token_lifetime == plain.security.token_lifetime));
  BOOST_TEST(shown.storage.lexically_relative("/etc/tessera") ==
             plain.storage.lexically_relative(plain.file.parent_path()));
  BOOST_TEST(shown.state_dir.string() == "/etc/tessera/.tessera/demo");
  const NodeConfig &w1 = shown.nodes[1], &w2 = shown.nodes[2];
  BOOST_TEST(w1.ssh == "tessera@w1.example.org");
  BOOST_TEST((w1.roles == w2.roles && w1.devices == w2.devices && w1.isa == w2.isa && w1.host == w2.host));
  BOOST_TEST((w1.rpc_port == w2.rpc_port && w1.data_port == w2.data_port));
  BOOST_TEST((shown.nodes[0].rpc_port == default_rpc_port && shown.nodes[0].join_port == default_join_port));
  BOOST_TEST_REQUIRE(shown.nodes[5].gateway.has_value());
  const GatewayConfig &gateway = *shown.nodes[5].gateway, otherwise;
  BOOST_TEST(gateway.listen == otherwise.listen, boost::test_tools::per_element());
  BOOST_TEST((gateway.open_metrics == otherwise.open_metrics && gateway.insecure_http == otherwise.insecure_http));
  BOOST_TEST((gateway.streams_max == otherwise.streams_max && gateway.drain == otherwise.drain));
}

BOOST_AUTO_TEST_CASE(every_key_is_taken_over) {
  const ClusterConfig config = parsed(R"(
name = "big"
coordinator = "head"
storage = "file:/models"
state_dir = "/var/lib/tessera"
[[nodes]]
name = "head"
host = "10.0.0.1"
roles = ["worker", "coordinator"]
rpc_port = 8000
join_port = 8001
data_port = 8002
isa = "avx2"
devices = ["cpu"]
[[nodes]]
name = "w1"
host = "fd00::2"
ssh = "me@w1"
cores = 16
numa = 1
memory = "512MiB"
[timeouts]
heartbeat_ms = 50
misses = 8
grace_ms = 0
request_ms = 500
stall_ms = 3000
[security]
data_plane = "plain"
token_lifetime_s = 60
[exchange]
wait = "spin"
latency_us = 50
mbit_per_s = 25000
)");
  BOOST_TEST(config.file.string() == "/etc/tessera/cluster.toml");
  BOOST_TEST((config.storage.string() == "/models" && config.state_dir.string() == "/var/lib/tessera"));
  const NodeConfig &head = config.nodes[0], &w1 = config.nodes[1];
  BOOST_TEST((head.host == "10.0.0.1" && head.rpc_port == 8000 && head.join_port == 8001 && head.data_port == 8002));
  BOOST_TEST((head.roles == std::vector{Role::worker, Role::coordinator} && head.isa == "avx2"));
  BOOST_TEST(
      (w1.host == "fd00::2" && w1.ssh == "me@w1" && w1.cores == 16u && w1.numa == 1u && w1.memory_bytes == 512u << 20));
  BOOST_TEST((config.timeouts.heartbeat == 50ms && config.timeouts.misses == 8u && config.timeouts.grace == 0ms));
  BOOST_TEST(
      (config.timeouts.request == 500ms && config.timeouts.stall == 3s && config.security.token_lifetime == 60s));
  BOOST_TEST((config.security.data_plane == DataPlane::plain && config.wait == ExchangeWait::spin));
  BOOST_REQUIRE(config.network.has_value());
  BOOST_TEST((config.network->latency == 50us && config.network->megabits_per_second == 25'000u));
}

BOOST_AUTO_TEST_CASE(relative_paths_begin_at_the_file) {
  const ClusterConfig config = parsed("storage = \"file:../models\"\n" + top);
  BOOST_TEST(config.storage.string() == "/etc/models");
  BOOST_TEST(config.state_dir.string() == "/etc/tessera/.tessera/demo");
}

BOOST_AUTO_TEST_CASE(what_is_not_toml_is_refused_with_line_and_column) {
  BOOST_TEST(faults("name = \"demo\"\ncoordinator = c\n")
                 .starts_with("/etc/tessera/cluster.toml:2:15: it is not valid TOML: "));
  BOOST_TEST(faults("name = \"a\"\nname = \"b\"\n").starts_with("/etc/tessera/cluster.toml:2:"));
  BOOST_TEST(faults(std::string(config_bytes_max + 1, '#')) ==
             "/etc/tessera/cluster.toml is longer than 1048576 bytes: it is not a cluster's configuration");
}

BOOST_AUTO_TEST_CASE(unknown_keys_are_refused_with_the_known_ones_and_the_nearest) {
  BOOST_TEST(
      fault(5, top + "memmory = \"1GiB\"") ==
      "nodes.c.memmory: unknown key; did you mean \"memory\"? Accepted here: cores, data_port, devices, gateway, host, "
      "isa, join_port, memory, name, numa, roles, rpc_port or ssh");
  BOOST_TEST(fault(6, top + "[exchange]\nflavour = 1") ==
             "exchange.flavour: unknown key. Accepted here: latency_us, mbit_per_s or wait");
  BOOST_TEST(fault(6, top + "[exchange]\nlatency_us = 50") ==
             "exchange.latency_us: latency_us and mbit_per_s describe the network together; give both, or none");
  BOOST_TEST(fault(5, top + "[timeout]\nmisses = 5") ==
             "timeout: unknown key; did you mean \"timeouts\"? Accepted here: coordinator, exchange, name, nodes, "
             "security, state_dir, storage or timeouts");
}

BOOST_AUTO_TEST_CASE(what_is_missing_is_named) {
  BOOST_TEST(faults("").find("1: name: it is missing; write the cluster's name, such as name = \"demo\"") !=
             std::string::npos);
  BOOST_TEST(fault(1, "coordinator = \"c\"\n[[nodes]]\nname = \"c\"") ==
             "name: it is missing; write the cluster's name, such as name = \"demo\"");
  BOOST_TEST(fault(1, "name = \"demo\"\n[[nodes]]\nname = \"c\"") ==
             "coordinator: it is missing; write the name of the node that coordinates, such as coordinator = \"c\"");
  BOOST_TEST(fault(5, top + "[[nodes]]\ncores = 1") ==
             "nodes[1].name: it is missing; write the node's name, such as name = \"w1\"");
  BOOST_TEST(fault(2, "name = \"demo\"\ncoordinator = \"w2\"\n[[nodes]]\nname = \"w1\"") ==
             "coordinator: no node has this name; did you mean \"w1\"? Accepted: w1");
}

BOOST_AUTO_TEST_CASE(values_of_the_wrong_kind_are_refused) {
  BOOST_TEST(fault(5, top + "numa = -1") == "nodes.c.numa: -1 is out of range; write a whole number from 0 to 1023");
  BOOST_TEST(fault(5, top + "cores = \"four\"") == "nodes.c.cores: it is a text; write a whole number from 1 to 1024");
  BOOST_TEST(fault(5, top + "host = 10") == "nodes.c.host: it is a whole number; write a text in quotes");
  BOOST_TEST(fault(5, top + "roles = \"worker\"") ==
             "nodes.c.roles: it is a text; write an array of texts, such as [\"…\"]");
  BOOST_TEST(fault(5, top + "roles = [1]") ==
             "nodes.c.roles: it is a whole number; write only texts in quotes in the array");
  BOOST_TEST(fault(5, top + "devices = []") == "nodes.c.devices: it is empty; write at least one text in quotes");
  BOOST_TEST(fault(1, "timeouts = 1.5\n" + top) == "timeouts: it is a number with a point; write a table: [timeouts]");
  BOOST_TEST(faults("nodes = true\nname = \"demo\"\ncoordinator = \"c\"")
                 .find("1: nodes: it is true or false; write tables: a [[nodes]] for each") != std::string::npos);
  BOOST_TEST(fault(5, top + "cores = 2021-01-01") ==
             "nodes.c.cores: it is a date or time; write a whole number from 1 to 1024");
}

BOOST_AUTO_TEST_CASE(values_out_of_range_are_refused_with_the_range) {
  BOOST_TEST(fault(5, top + "rpc_port = 70000") ==
             "nodes.c.rpc_port: 70000 is out of range; write a whole number from 1 to 65535");
  BOOST_TEST(fault(7, top + "[[nodes]]\nname = \"w\"\ndata_port = -1") ==
             "nodes.w.data_port: -1 is out of range; write a whole number from 0 to 65535");
  BOOST_TEST(fault(6, top + "[timeouts]\nmisses = 1") ==
             "timeouts.misses: 1 is out of range; write a whole number from 2 to 1000");
  BOOST_TEST(
      fault(5, top + "memory = \"4 GB\"") ==
      "nodes.c.memory: '4 GB' is not an amount of memory: write a whole number and B, KiB, MiB, GiB or TiB, such "
      "as \"4GiB\"");
  BOOST_TEST(fault(5, top + "memory = \"4KiB\"") ==
             "nodes.c.memory: it is less than 1MiB; leave the key out to use what the machine has");
}

BOOST_AUTO_TEST_CASE(words_that_are_not_accepted_are_refused_with_those_that_are) {
  BOOST_TEST(
      fault(6, top + "[security]\ndata_plane = \"encryptet\"") ==
      "security.data_plane: \"encryptet\" is not accepted; did you mean \"encrypted\"? Accepted: encrypted or plain");
  BOOST_TEST(fault(6, top + "[exchange]\nwait = \"\\u0007never\"") ==
             "exchange.wait: \"?never\" is not accepted. Accepted: auto, spin or block");
  BOOST_TEST(fault(5, top + "isa = \"neon\"") ==
             "nodes.c.isa: \"neon\" is not accepted. Accepted: auto, scalar, avx2, avx512 or avx512bf16");
  BOOST_TEST(fault(7, top + "[[nodes]]\nname = \"w\"\nroles = [\"wroker\"]") ==
             "nodes.w.roles: \"wroker\" is not a role of a node; did you mean \"worker\"? Accepted: coordinator, "
             "worker or gateway");
  BOOST_TEST(fault(7, top + "[[nodes]]\nname = \"w\"\nroles = [\"user\"]") ==
             "nodes.w.roles: \"user\" is not a role of a node. Accepted: coordinator, worker or gateway");
  BOOST_TEST(fault(5, top + "devices = [\"cuda:0\"]") == "nodes.c.devices: \"cuda:0\" is not a device. Accepted: cpu");
  BOOST_TEST(fault(1, "storage = \"s3://bucket\"\n" + top) ==
             "storage: it is not a place that this build can read; write file:FOLDER, such as \"file:models\"");
}

BOOST_AUTO_TEST_CASE(names_and_hosts_must_be_ones) {
  BOOST_TEST(fault(6, top + "[[nodes]]\nname = \"W 1\"") ==
             "nodes[1].name: 'W 1' cannot be the name of a node: write 1 to 40 lower-case letters, digits and hyphens, "
             "with no hyphen at either end");
  for (const char* host : {"", "-oProxyCommand=x", "a b", "a;b", "ä"}) {
    BOOST_TEST(fault(5, top + "host = \"" + host + "\"") ==
               "nodes.c.host: it is not a host; write a name or an address, such as \"10.0.0.7\"");
  }
  for (const char* ssh : {"", "-l", "@h", "a@-h", "a b@h"}) {
    BOOST_TEST(fault(5, top + "ssh = \"" + ssh + "\"") ==
               "nodes.c.ssh: it is not what ssh can reach; write HOST or USER@HOST");
  }
}

BOOST_AUTO_TEST_CASE(two_of_one_kind_are_refused) {
  BOOST_TEST(fault(6, top + "[[nodes]]\nname = \"c\"\nrpc_port = 1\njoin_port = 2") ==
             "nodes.c.name: the node on line 4 has the same name");
  BOOST_TEST(fault(5, top + "roles = [\"coordinator\", \"coordinator\"]") ==
             "nodes.c.roles: \"coordinator\" is there twice; write it once");
  BOOST_TEST(fault(8, top + "[[nodes]]\nname = \"w\"\nhost = \"localhost\"\nrpc_port = 7070") ==
             "nodes.w.rpc_port: port 7070 of localhost is already that of node c, key rpc_port; write another one");
  BOOST_TEST(fault(7, top + "[[nodes]]\nname = \"w\"\ndata_port = 7071") ==
             "nodes.w.data_port: port 7071 of 127.0.0.1 is already that of node c, key join_port; write another one");
}

BOOST_AUTO_TEST_CASE(one_node_coordinates_and_the_others_can_reach_it) {
  BOOST_TEST(fault(5, top + "roles = [\"worker\"]") ==
             "nodes.c.roles: this node is the cluster's coordinator; add \"coordinator\"");
  BOOST_TEST(fault(7, top + "[[nodes]]\nname = \"w\"\nroles = [\"coordinator\"]") ==
             "nodes.w.roles: only the node that the key coordinator names may have the role coordinator");
  BOOST_TEST(fault(7, top + "[[nodes]]\nname = \"w\"\njoin_port = 9") ==
             "nodes.w.join_port: only the coordinator listens for joiners; remove it here");
  BOOST_TEST(
      fault(2, top + "[[nodes]]\nname = \"w\"\nhost = \"10.0.0.2\"") ==
      "coordinator: its host 127.0.0.1 cannot be reached from node w on 10.0.0.2; give the coordinator a host that "
      "others can reach");
}

BOOST_AUTO_TEST_CASE(all_faults_are_reported_in_the_order_of_their_lines) {
  BOOST_TEST(
      faults("name = \"A\"\ncoordinator = \"c\"\nx = 1\n[[nodes]]\nname = \"c\"\ncores = 0\n") ==
      "/etc/tessera/cluster.toml:1: name: 'A' cannot be the name of a cluster: write 1 to 40 lower-case letters, "
      "digits and hyphens, with no hyphen at either end\n"
      "/etc/tessera/cluster.toml:3: x: unknown key. Accepted here: coordinator, exchange, name, nodes, security, "
      "state_dir, storage or timeouts\n"
      "/etc/tessera/cluster.toml:6: nodes.c.cores: 0 is out of range; write a whole number from 1 to 1024");
  std::string many = top;
  for (int i = 0; i < 25; ++i) many += "strange_key_" + std::to_string(i) + " = 1\n";
  const std::string message = faults(many);
  BOOST_TEST(std::count(message.begin(), message.end(), '\n') == 10);
  BOOST_TEST(message.ends_with("\nand 15 more faults in /etc/tessera/cluster.toml"));
}

BOOST_AUTO_TEST_CASE(a_file_that_is_missing_is_named) {
  const test::TemporaryFolder folder;
  const auto config = load_config(folder.file("cluster.toml"));
  BOOST_TEST_REQUIRE(!config);
  BOOST_TEST((config.error().code == ErrorCode::not_found));
  BOOST_TEST(config.error().message == "cannot read " + folder.file("cluster.toml") + ": No such file or directory");
}

BOOST_AUTO_TEST_CASE(amounts_of_memory_have_a_unit) {
  BOOST_TEST(*parse_byte_size("0B") == 0u);
  BOOST_TEST(*parse_byte_size("3KiB") == 3072u);
  BOOST_TEST(*parse_byte_size("16777215TiB") == std::uint64_t{16777215} << 40);
  for (const char* text :
       {"", "4", "GiB", "4GB", "4 GiB", "-4GiB", "4.5GiB", "4gib", "16777216TiB", "99999999999999999999B"}) {
    BOOST_TEST(!parse_byte_size(text), text);
  }
}

BOOST_AUTO_TEST_CASE(a_gateway_says_where_it_listens_and_who_may_ask) {
  const ClusterConfig plain = parsed(top + "[[nodes]]\nname = \"g\"\nroles = [\"gateway\"]");
  BOOST_TEST_REQUIRE(plain.nodes[1].gateway.has_value());
  BOOST_TEST(plain.nodes[1].gateway->listen == std::vector<std::string>{"127.0.0.1:8080"},
             boost::test_tools::per_element());
  BOOST_TEST(!plain.nodes[0].gateway);
  const ClusterConfig config = parsed(top + R"([[nodes]]
name = "g"
roles = ["gateway", "worker"]
[nodes.gateway]
listen = ["0.0.0.0:443=openai,health", "[::1]:8501=tfserving"]
keys = "keys.json"
tls_certificate = "tls/cert.pem"
tls_key = "/secret/key.pem"
access_log = "access.log"
cors_origins = ["https://a.example"]
default_model = "chat"
open_metrics = true
insecure_http = true
max_streams = 7
drain_s = 3
)");
  const GatewayConfig& gateway = *config.nodes[1].gateway;
  BOOST_TEST(gateway.listen.size() == 2u);
  BOOST_TEST(gateway.listen[1] == "[::1]:8501=tfserving");
  BOOST_TEST((gateway.keys == "/etc/tessera/keys.json" && gateway.tls_certificate == "/etc/tessera/tls/cert.pem"));
  BOOST_TEST((gateway.tls_key == "/secret/key.pem" && gateway.access_log == "/etc/tessera/access.log"));
  BOOST_TEST((gateway.cors_origins == std::vector<std::string>{"https://a.example"}));
  BOOST_TEST((gateway.default_model == "chat" && gateway.open_metrics && gateway.insecure_http));
  BOOST_TEST((gateway.streams_max == 7u && gateway.drain == 3s));
}

BOOST_AUTO_TEST_CASE(what_a_gateway_cannot_do_is_said_with_its_line) {
  const std::string node = top + "[[nodes]]\nname = \"g\"\nroles = [\"gateway\"]\n[nodes.gateway]\n";
  BOOST_TEST(fault(9, node + "listen = [\"8080\"]") ==
             "nodes.g.gateway.listen: \"8080\" is not an address; write HOST:PORT or HOST:PORT=SET,SET, such as "
             "\"127.0.0.1:8080\" or \"127.0.0.1:8501=tfserving,health\"");
  BOOST_TEST(fault(9, node + "listen = [\"localhost:65536\"]").find("is not an address") != std::string::npos);
  BOOST_TEST(
      fault(9, node + "listen = [\"127.0.0.1:7070\"]") ==
      "nodes.g.gateway.listen: port 7070 of 127.0.0.1 is already that of node c, key rpc_port; write another one");
  BOOST_TEST(fault(9, node + "tls_key = \"k\"") ==
             "nodes.g.gateway.tls_key: a certificate and its key go together; write both tls_certificate and tls_key");
  BOOST_TEST(fault(9, node + "keys = \"\"") == "nodes.g.gateway.keys: it is empty; write a file, or leave the key out");
  BOOST_TEST(fault(9, node + "key = \"k\"").find("did you mean \"keys\"?") != std::string::npos);
  BOOST_TEST(faults(top + "[[nodes]]\nname = \"w\"\n[nodes.gateway]\n")
                 .find("nodes.w.gateway: only a node with the role gateway may have it") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
