// Node: one process of the cluster, wired by hand: RPC thread, data plane, actors, and on the coordinator's node the
// store and the coordinator.
//
//   auto node = Node::start(options);            // returns when everything listens; registration goes on behind it
//   auto why = (*node)->wait(interrupted);       // until told to stop, or something fatal
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cluster/auth/certificates.hpp"
#include "cluster/config/cluster_config.hpp"
#include "cluster/rpc/connection.hpp"
#include "runtime/base/log_tail.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// What only the coordinator's node has.
struct CoordinatorSettings {
  Credentials credentials;  ///< of the identity coordinator:NAME
  CertificateAuthority authority;
  std::filesystem::path store;
  std::filesystem::path storage;  ///< where relative checkpoint paths start from
  TimeoutConfig timeouts;
  std::optional<NetworkConfig> network = {};
};

struct NodeSettings {
  std::string cluster;
  NodeConfig node;                         ///< name, host, ports, cores, memory, isa
  std::optional<Credentials> credentials;  ///< of worker:NAME; a node without computes nothing
  std::string authority_pem;
  Identity coordinator;      ///< whom to expect at `coordinator_rpc`
  Endpoint coordinator_rpc;  ///< port 0, on the coordinator's own node: the one that it gets
  DataPlane data_plane = DataPlane::encrypted;
  ExchangeWait wait = ExchangeWait::automatic;
  std::chrono::milliseconds heartbeat{100};
  std::chrono::milliseconds request_deadline{10000};
  std::chrono::milliseconds stall = TimeoutConfig().stall;
  std::optional<CoordinatorSettings> coordinates;
  std::optional<Credentials> attends;  ///< of gateway:NAME; what a node registers with that has neither of the two
  std::shared_ptr<const LogTail> log;
  std::function<void()> on_ready;  ///< registered for the first time; any thread
};

/// Owned by main. Destroying it ends everything it started.
class Node {
 public:
  static Result<std::unique_ptr<Node>> start(const NodeSettings& settings);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Blocks until `interrupted()` is true (asked ten times a second), the coordinator ends this node, or it cannot go
  /// on; only the last is an error.
  Result<void> wait(const std::function<bool()>& interrupted);

  /// Where clients reach it.
  Endpoint rpc() const;

 private:
  struct State;
  explicit Node(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tessera
