// ClusterConfig: what cluster.toml says. examples/cluster.toml shows every key with its meaning.
//
// Everything is checked when the file is read: an unknown key, a key given twice, a value out of range, two nodes of
// one name, two listeners on one port. The message names file, line, key and what would be accepted. All faults of a
// file are reported at once, a line each, up to config_faults_max.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/auth/identity.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

inline constexpr std::size_t config_nodes_max = 1024;

inline constexpr std::uint16_t default_rpc_port = 7070;  ///< of the coordinator
inline constexpr std::uint16_t default_join_port =
    7071;  ///< of the coordinator: serves joiners, asks for no certificate

/// Whether frames between shards are encrypted.
enum class DataPlane { encrypted, plain };
const char* to_string(DataPlane data_plane);
Result<DataPlane> parse_data_plane(std::string_view text);

/// How a shard waits for the others within a step.
enum class ExchangeWait {
  automatic,  ///< spins where the node has a core per compute thread, else blocks; written "auto"
  spin,
  block,
};
const char* to_string(ExchangeWait wait);
Result<ExchangeWait> parse_exchange_wait(std::string_view text);

/// What a node with the role gateway does; the options of `tessera serve` say what each means.
struct GatewayConfig {
  std::vector<std::string> listen{"127.0.0.1:8080"};  ///< HOST:PORT or HOST:PORT=SET,SET
  std::filesystem::path keys;                         ///< absolute, as all paths here; empty: none
  std::filesystem::path tls_certificate, tls_key;     ///< both or neither
  std::filesystem::path access_log;
  std::vector<std::string> cors_origins;
  std::string default_model;
  bool open_metrics = false, insecure_http = false;
  std::uint32_t streams_max = 256;
  std::chrono::seconds drain{
      8};  ///< that requests have to end when the node is stopped; less than the patience of `down`
};

struct NodeConfig {
  std::string name;
  std::string host = "127.0.0.1";     ///< where others reach it, and what it binds to
  std::string ssh;                    ///< what ssh is given to reach the host; empty: `host`
  std::vector<Role> roles;            ///< coordinator, worker, gateway; at least one, each once
  std::uint16_t rpc_port = 0;         ///< 0: any free one. The coordinator's is never 0
  std::uint16_t join_port = 0;        ///< the coordinator's only; never 0 there
  std::uint16_t data_port = 0;        ///< 0: any free one
  std::uint32_t cores = 0;            ///< 0: all of the machine
  std::optional<std::uint32_t> numa;  ///< NUMA node to stay on; none: all of them
  std::uint64_t memory_bytes = 0;     ///< for weights, KV pages and buffers; 0: what the machine has
  std::vector<std::string> devices{"cpu"};
  std::string isa = "auto";                   ///< auto, scalar, avx2, avx512, avx512bf16
  std::optional<GatewayConfig> gateway = {};  ///< of a node with this role

  bool has(Role role) const;
};

struct TimeoutConfig {
  std::chrono::milliseconds heartbeat{100};
  std::uint32_t misses = 6;               ///< heartbeats that must fail to come before a node counts as lost
  std::chrono::milliseconds grace{3000};  ///< that a restarted coordinator waits for its nodes before it plans anew
  std::chrono::milliseconds request{10000};
  /// That a worker waits for the bytes of another one within a step, where no coordinator says that it is lost.
  std::chrono::milliseconds stall{20000};
};

struct SecurityConfig {
  DataPlane data_plane = DataPlane::encrypted;
  std::chrono::seconds token_lifetime{3600};
};

/// What lies between the workers; where the file says so, the planner counts with it.
struct NetworkConfig {
  std::chrono::microseconds latency{0};  ///< one way
  std::uint64_t megabits_per_second = 0;
};

struct ClusterConfig {
  std::filesystem::path file;  ///< absolute
  std::string name;
  std::string coordinator;          ///< name of its node
  std::filesystem::path storage;    ///< folder that relative checkpoint paths start from; absolute
  std::filesystem::path state_dir;  ///< keys, certificates, store, logs; absolute
  std::vector<NodeConfig> nodes;    ///< in the file's order
  TimeoutConfig timeouts;
  SecurityConfig security;
  ExchangeWait wait = ExchangeWait::automatic;
  std::optional<NetworkConfig> network = {};

  const NodeConfig* find(std::string_view node) const;
  /// Exists in every configuration that was parsed.
  const NodeConfig& coordinator_node() const { return *find(coordinator); }
};

/// Reads and checks a file.
Result<ClusterConfig> load_config(const std::filesystem::path& file);
/// As above, from the text. `file` is absolute, names the text in messages, and is what relative paths start from.
Result<ClusterConfig> parse_config(std::string_view text, const std::filesystem::path& file);

/// "512MiB", "4GiB": a whole number and one of B, KiB, MiB, GiB, TiB.
Result<std::uint64_t> parse_byte_size(std::string_view text);

/// localhost, 127.x.x.x, ::1.
bool is_loopback(std::string_view host);

}  // namespace tessera
