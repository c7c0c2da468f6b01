// Session: one accepted connection of a member, from its finished TLS handshake to its end.
//
//   Gate.enter ─► checked ─► Registry, Cluster (coordinator) or Conductor capability
//
// The capabilities know only the session's number: they may outlive it, and then answer `unavailable`.
#pragma once

#include <cstdint>
#include <kj/async-io.h>
#include <memory>
#include <optional>
#include <string>

#include "cluster/rpc/acceptor.hpp"
#include "cluster/rpc/connection.hpp"
#include "cluster/rpc/frontend_sinks.hpp"
#include "cluster/rpc/peer.hpp"
#include "cluster/rpc/rpc_methods.hpp"
#include "cluster/rpc/serve.hpp"
#include "schemas/cluster.capnp.h"

namespace tessera {

/// What all sessions of one listener share. Outlives them.
struct SessionSettings {
  ProtocolFacts facts;
  ServerHandlers handlers;
  std::uint64_t acceptor = 0;  ///< number of the listener
  std::shared_ptr<RpcServer::Counters> counters;
};

class Session final : public Peer {
 public:
  Session(RpcLoop& loop, std::uint64_t id, std::shared_ptr<const SessionSettings> settings, Caller caller);
  ~Session() noexcept(false) override;
  /// Serves Gate on the stream.
  void begin(kj::Own<kj::AsyncIoStream> stream);

  const Caller& caller() const { return caller_; }
  const SessionSettings& settings() const { return *settings_; }
  const std::shared_ptr<CallCount>& call_count() const { return call_count_; }

  /// Answers Gate.enter.
  void enter(schema::Hello::Reader hello, schema::Updates::Client updates, schema::Gate::EnterResults::Builder results);
  /// Whether the caller may call the method now; from then on its end is told to the coordinator's handler.
  Result<void> check(RpcMethod method);

  /// The node's commands, once it has registered.
  void set_node(schema::Node::Client node) { node_ = kj::mv(node); }
  bool has_node() const { return node_ != nullptr; }
  schema::Node::Client& node() { return KJ_ASSERT_NONNULL(node_); }

  /// The streams of a frontend; nullptr for other services.
  FrontendSinks* sinks() { return sinks_ ? &*sinks_ : nullptr; }

  /// The connection is over, by the decision of either side: tells the handlers, and goes.
  void close();

 private:
  Result<void> admit(schema::Hello::Reader hello);

  std::shared_ptr<const SessionSettings> settings_;
  Caller caller_;
  std::shared_ptr<CallCount> call_count_ = std::make_shared<CallCount>();
  bool asked_ = false;  ///< enter() was called
  bool called_coordinator_ = false;
  kj::Maybe<schema::Node::Client> node_;
  std::optional<FrontendSinks> sinks_;
};

/// What a capability needs to serve its calls.
class SessionServer {
 public:
  SessionServer(RpcLoop& loop, std::uint64_t session) : loop_(loop), session_(session) {}

 protected:
  /// Throws `disconnected` when the session is over.
  Session& session() const;

  /// Checks the role and serves: `invoke(handler, caller, params, reply)`.
  template <typename T, typename Context, typename Invoke, typename Fill>
  kj::Promise<void> serve_coordinator(RpcMethod method, Context context, Invoke invoke, Fill fill) {
    Session& now = session();
    if (const auto allowed = now.check(method); !allowed) return answer_failure(context, allowed.error());
    return serve<T>(
        loop_, now.call_count(), context,
        [&](auto params, Reply<T> reply) {
          invoke(*now.settings().handlers.coordinator, now.caller(), params, std::move(reply));
        },
        std::move(fill));
  }

  RpcLoop& loop_;
  const std::uint64_t session_;
};

kj::Own<schema::Registry::Server> make_registry(RpcLoop& loop, std::uint64_t session);
kj::Own<schema::Cluster::Server> make_cluster(RpcLoop& loop, std::uint64_t session);
kj::Own<schema::Conductor::Server> make_conductor(RpcLoop& loop, std::uint64_t session);

}  // namespace tessera
