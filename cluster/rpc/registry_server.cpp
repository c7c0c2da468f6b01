// Registry: what nodes ask of the coordinator.
#include <utility>

#include "cluster/rpc/session.hpp"

namespace tessera {
namespace {

class RegistryServer final : public schema::Registry::Server, private SessionServer {
 public:
  using SessionServer::SessionServer;

  kj::Promise<void> register_(RegisterContext context) override {
    return serve_coordinator<Registration>(
        RpcMethod::register_node, context,
        [this](CoordinatorHandler& handler, const Caller& caller, auto params, Reply<Registration> reply) {
          NodeInfo info = wire::read(params.getInfo());
          auto held = wire::read_list(params.getHeld());
          if (const auto own = is_own(caller, info); !own) return reply(own.error());
          session().set_node(params.getNode());
          handler.register_node(caller, std::move(info), std::move(held), NodeProxy(loop_.queue(), caller.connection),
                                std::move(reply));
        },
        [](auto results, const Registration& registration) {
          results.setNode(registration.node.value);
          results.setTerm(registration.term.value);
          results.setHeartbeatMs(static_cast<std::uint32_t>(registration.heartbeat_interval.count()));
        });
  }

  kj::Promise<void> heartbeat(HeartbeatContext context) override {
    return serve_coordinator<void>(
        RpcMethod::heartbeat, context,
        [](CoordinatorHandler& handler, const Caller& caller, auto params, Reply<void> reply) {
          handler.heartbeat(caller, wire::read(params.getLoad()), std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> epochActivated(EpochActivatedContext context) override {
    return serve_coordinator<void>(
        RpcMethod::epoch_activated, context,
        [](CoordinatorHandler& handler, const Caller& caller, auto params, Reply<void> reply) {
          handler.epoch_activated(caller, {params.getReplica()}, {params.getEpoch()}, {params.getIncarnation()},
                                  std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> epochBroken(EpochBrokenContext context) override {
    return serve_coordinator<void>(
        RpcMethod::epoch_broken, context,
        [](CoordinatorHandler& handler, const Caller& caller, auto params, Reply<void> reply) {
          handler.epoch_broken(caller, {params.getReplica()}, {params.getEpoch()}, wire::read(params.getReason()),
                               std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> reportMetrics(ReportMetricsContext context) override {
    return serve_coordinator<void>(
        RpcMethod::report_metrics, context,
        [](CoordinatorHandler& handler, const Caller& caller, auto params, Reply<void> reply) {
          handler.report_metrics(caller, wire::read_list(params.getMetrics()), std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> copyDamaged(CopyDamagedContext context) override {
    return serve_coordinator<void>(
        RpcMethod::copy_damaged, context,
        [](CoordinatorHandler& handler, const Caller& caller, auto params, Reply<void> reply) {
          handler.copy_damaged(caller, {params.getReplica()}, {params.getEpoch()}, wire::read(params.getReason()),
                               std::move(reply));
        },
        FillNothing());
  }

 private:
  /// A node speaks for itself only.
  static Result<void> is_own(const Caller& caller, const NodeInfo& info) {
    if (info.name != caller.identity.name) {
      return Error{ErrorCode::denied, common_name(caller.identity) + " may not register as the node '" + info.name +
                                          "'; a node registers under its certificate's name"};
    }
    if (info.computes && caller.identity.role == Role::gateway) {
      return Error{ErrorCode::denied,
                   common_name(caller.identity) +
                       " may not register as a node that computes; that needs a worker's certificate"};
    }
    if (info.incarnation != caller.incarnation) {
      return Error{ErrorCode::invalid_argument,
                   "the node '" + info.name + "' registers with another incarnation than that of its handshake"};
    }
    return {};
  }
};

}  // namespace

kj::Own<schema::Registry::Server> make_registry(RpcLoop& loop, std::uint64_t session) {
  return kj::heap<RegistryServer>(loop, session);
}

}  // namespace tessera
