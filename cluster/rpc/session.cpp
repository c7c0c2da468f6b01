#include "cluster/rpc/session.hpp"

#include <string>
#include <utility>

#include "cluster/rpc/rpc_limits.hpp"
#include "runtime/base/log.hpp"

namespace tessera {
namespace {

class GateServer final : public schema::Gate::Server, private SessionServer {
 public:
  using SessionServer::SessionServer;
  kj::Promise<void> enter(EnterContext context) override {
    auto params = context.getParams();
    session().enter(params.getHello(), params.getUpdates(), context.getResults());
    return kj::READY_NOW;
  }
};

std::string version_text(std::uint32_t version) { return std::to_string(version); }

/// Both sides' values of what does not fit.
Error mismatch(ErrorCode code, const std::string& what, const std::string& theirs, const std::string& ours,
               const std::string& remedy) {
  return {code, "refused: the caller has " + what + " " + theirs + ", this process has " + ours + "; " + remedy};
}

}  // namespace

Session::Session(RpcLoop& loop, std::uint64_t id, std::shared_ptr<const SessionSettings> settings, Caller caller)
    : Peer(loop, id), settings_(std::move(settings)), caller_(std::move(caller)) {}

Session::~Session() noexcept(false) = default;

void Session::begin(kj::Own<kj::AsyncIoStream> stream) {
  speak(kj::mv(stream), capnp::rpc::twoparty::Side::SERVER,
        capnp::Capability::Client(kj::heap<GateServer>(loop(), id())), rpc_limits::message_bytes_max,
        [&loop = loop(), id = id()] {
          if (auto* session = loop.find<Session>(id)) session->close();
        });
}

Result<void> Session::admit(schema::Hello::Reader hello) {
  const ProtocolFacts& ours = settings_->facts;
  const std::string software = wire::read(hello.getSoftware());
  if (hello.getProtocolVersion() != rpc_protocol_version) {
    return mismatch(ErrorCode::unsupported, "protocol version",
                    version_text(hello.getProtocolVersion()) + " (software " + software + ")",
                    version_text(rpc_protocol_version) + " (software " + ours.software + ")",
                    "use the same version of Tessera on both");
  }
  const std::string cluster = wire::read(hello.getCluster());
  const bool is_node = caller_.identity.role == Role::coordinator || caller_.identity.role == Role::worker;
  if ((is_node || !cluster.empty()) && cluster != ours.cluster) {
    return mismatch(ErrorCode::conflict, "cluster name", "'" + cluster + "'", "'" + ours.cluster + "'",
                    "dial the coordinator of the right cluster");
  }
  const std::string profile = wire::read(hello.getProfile());
  if (!profile.empty() && !ours.profile.empty() && profile != ours.profile) {
    return mismatch(ErrorCode::conflict, "numeric profile", "'" + profile + "'", "'" + ours.profile + "'",
                    "nodes of one cluster must compute the same bits: run the same version on all of them");
  }
  const bool served =
      hello.getService() == schema::Service::COORDINATOR
          ? settings_->handlers.coordinator != nullptr
          : hello.getService() == schema::Service::CONDUCTOR && settings_->handlers.conductor != nullptr;
  if (!served) {
    return Error{ErrorCode::unsupported, hello.getService() == schema::Service::COORDINATOR
                                             ? "this process is not the coordinator; ask the one of the configuration"
                                             : "this process serves no streams; locate the conductor"};
  }
  caller_.software = software;
  caller_.incarnation = {hello.getIncarnation()};
  return {};
}

void Session::enter(schema::Hello::Reader hello, schema::Updates::Client updates,
                    schema::Gate::EnterResults::Builder results) {
  auto server = results.initServer();
  server.setProtocolVersion(rpc_protocol_version);
  server.setCluster(wire::text(settings_->facts.cluster));
  server.setProfile(wire::text(settings_->facts.profile));
  server.setSoftware(wire::text(settings_->facts.software));
  auto* acceptor = loop().find<Acceptor>(settings_->acceptor);
  Result<void> admitted = std::exchange(asked_, true)
                              ? Error{ErrorCode::conflict, "a connection enters only once; dial again"}
                              : admit(hello);
  if (admitted && acceptor && !acceptor->entered(id())) {
    admitted = Error{ErrorCode::exhausted, "this process has as many connections as it takes (" +
                                               std::to_string(rpc_limits::connections_max) + "); try again later"};
  }
  if (!admitted) {
    wire::write(results.initFailure(), admitted.error());
    if (acceptor) acceptor->refused(id(), common_name(caller_.identity) + ": " + admitted.error().message);
    return;
  }
  if (hello.getService() == schema::Service::COORDINATOR) {
    results.setRegistry(make_registry(loop(), id()));
    results.setCluster(make_cluster(loop(), id()));
  } else {
    sinks_.emplace(*this, kj::mv(updates), *settings_->handlers.conductor);
    results.setConductor(make_conductor(loop(), id()));
  }
}

Result<void> Session::check(RpcMethod method) {
  auto allowed = check_allowed(method, caller_.identity);
  if (!allowed) {
    if (auto* acceptor = loop().find<Acceptor>(settings_->acceptor))
      acceptor->denied(caller_.address, allowed.error().message);
  } else if (method < RpcMethod::open_stream) {
    called_coordinator_ = true;
  }
  return allowed;
}

void Session::close() {
  if (sinks_) sinks_->close_all();
  if (std::exchange(called_coordinator_, false)) settings_->handlers.coordinator->on_disconnected(caller_);
  if (auto* acceptor = loop().find<Acceptor>(settings_->acceptor)) acceptor->left(id());
  loop().retire(id());
}

Session& SessionServer::session() const {
  auto* session = loop_.find<Session>(session_);
  if (!session) {
    kj::throwFatalException(kj::Exception(kj::Exception::Type::DISCONNECTED, __FILE__, __LINE__,
                                          kj::heapString("the connection is closed")));
  }
  return *session;
}

}  // namespace tessera
