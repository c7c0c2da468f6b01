// ConductorPool: the client's connections to nodes that conduct, one per node, shared by its streams.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/control/stream_frontend.hpp"
#include "cluster/rpc/conductor_client.hpp"

namespace tessera::frontend {

/// Connections that are kept; beyond it those that no stream uses are closed.
inline constexpr std::size_t conductor_connections_max = 64;

/// RPC thread only. Lives until that thread has stopped.
class ConductorPool {
 public:
  /// Who uses a connection; drawn by next_user().
  using User = std::uint64_t;

  /// `options` as for the coordinator; endpoint and server are replaced.
  ConductorPool(RpcThread& thread, DialOptions options) : thread_(thread), options_(std::move(options)) {}

  User next_user() { return ++last_user_; }
  /// Answers with a connection to the node, dialled if need be. From then on, until release(), `on_lost` is called once
  /// when the connection ends.
  void acquire(const StreamLocation& location, User user, std::function<void()> on_lost, Reply<ConductorClient> reply);
  void release(const StreamLocation& location, User user);
  /// The connection of this location if there is one.
  std::optional<ConductorClient> find(const StreamLocation& location) const;
  /// The node did not answer in time: its connection is given up, and its users are told.
  void suspect(const StreamLocation& location);
  /// Closes everything; tells nobody.
  void stop();

 private:
  using Key = std::pair<std::string, std::string>;  // node, "host:port"
  struct Entry {
    std::uint64_t number = 0;
    std::optional<ConductorClient> client;
    std::vector<std::pair<User, Reply<ConductorClient>>> waiting;  // while it is dialled
    std::map<User, std::function<void()>> users;
  };

  static Key key_of(const StreamLocation& location) { return {location.node, to_string(location.rpc)}; }
  void dial(const StreamLocation& location, const Key& key, Entry& entry);
  void on_dialled(const Key& key, std::uint64_t number, Result<ConductorClient> client);
  void on_lost(Key key, std::uint64_t number);
  void close_idle();

  RpcThread& thread_;
  const DialOptions options_;
  std::map<Key, Entry> entries_;
  User last_user_ = 0;
  std::uint64_t last_number_ = 0;
  bool stopped_ = false;
};

}  // namespace tessera::frontend
