// RpcServer: the RPC listener of a process. Mutual TLS; what it serves depends on the handlers given.
//
// Whoever does not speak the protocol (no certificate, a foreign one, garbage, HTTP, silence) is closed after at most
// rpc_limits::handshake_deadline, counted, and logged at most once a second; members notice nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cluster/rpc/conductor_service.hpp"
#include "cluster/rpc/connection.hpp"
#include "cluster/rpc/coordinator_service.hpp"
#include "cluster/rpc/rpc_thread.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

struct ServerOptions {
  Endpoint listen;  ///< port 0: any free one
  /// One per name by which it may be dialled; chosen by the name that the dialler expects, else the first. At least
  /// one.
  std::vector<TlsIdentity> identities;
  ProtocolFacts facts;
  /// For tests; 0: rpc_limits::handshake_deadline.
  std::chrono::milliseconds handshake_deadline{0};
};

/// Handlers live until RpcThread::stop() returned. nullptr: not served here.
struct ServerHandlers {
  CoordinatorHandler* coordinator = nullptr;
  ConductorHandler* conductor = nullptr;
};

/// Since the server started.
struct ServerCounters {
  std::uint64_t accepted = 0;      ///< connections
  std::uint64_t entered = 0;       ///< of them, let in
  std::uint64_t strangers = 0;     ///< of them, closed because TLS or the first message failed, or came too late
  std::uint64_t refused = 0;       ///< members of another version, cluster or profile, or too many
  std::uint64_t denied_calls = 0;  ///< calls that the caller's role does not allow
};

/// A handle; destroying it closes the listener and every connection that came through it. Any thread but the RPC
/// thread may call listen(), which waits for it.
class RpcServer {
 public:
  static Result<std::unique_ptr<RpcServer>> listen(RpcThread& thread, ServerOptions options, ServerHandlers handlers);
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  /// Where it listens, with the port that was bound.
  const Endpoint& endpoint() const { return endpoint_; }
  ServerCounters counters() const;

  struct Counters;  ///< cluster/rpc only

 private:
  RpcServer(std::shared_ptr<RpcQueue> queue, std::uint64_t object, Endpoint endpoint,
            std::shared_ptr<const Counters> counters);

  std::shared_ptr<RpcQueue> queue_;
  std::uint64_t object_;
  Endpoint endpoint_;
  std::shared_ptr<const Counters> counters_;
};

}  // namespace tessera
