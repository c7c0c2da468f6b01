#include "cluster/rpc/rpc_server.hpp"

#include <utility>

#include "cluster/rpc/acceptor.hpp"
#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/session.hpp"
#include "runtime/base/log.hpp"

namespace tessera {
namespace {

class MemberAcceptor final : public Acceptor {
 public:
  MemberAcceptor(RpcLoop& loop, std::uint64_t id, Options options, ProtocolFacts facts, ServerHandlers handlers)
      : Acceptor(loop, id, std::move(options)),
        settings_(std::make_shared<SessionSettings>(SessionSettings{std::move(facts), handlers, id, counters()})) {}

 private:
  void welcome(std::uint64_t connection, kj::AuthenticatedStream stream, std::string address) override {
    auto identity = peer_identity(*stream.peerIdentity);
    if (!identity) {
      kj::throwFatalException(kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__,
                                            kj::heapString(wire::text(identity.error().message))));
    }
    Caller caller{std::move(*identity), ConnectionId{connection}, {}, {}, std::move(address)};
    auto session = std::make_unique<Session>(loop(), connection, settings_, std::move(caller));
    session->begin(kj::mv(stream.stream));
    loop().add(connection, std::move(session));
  }

  std::shared_ptr<const SessionSettings> settings_;
};

}  // namespace

Result<std::unique_ptr<RpcServer>> RpcServer::listen(RpcThread& thread, ServerOptions options,
                                                     ServerHandlers handlers) {
  TESSERA_TRY(std::unique_ptr<ServerTls> tls, ServerTls::create(options.identities, true));
  if (options.handshake_deadline.count() == 0) options.handshake_deadline = rpc_limits::handshake_deadline;
  auto shared_tls = std::make_shared<std::unique_ptr<ServerTls>>(std::move(tls));
  TESSERA_TRY(
      Listening listening, open_acceptor(thread, [=](RpcLoop& loop, std::uint64_t id) {
        return std::make_unique<MemberAcceptor>(
            loop, id,
            Acceptor::Options{options.listen, std::move(*shared_tls), options.handshake_deadline, "the RPC listener"},
            options.facts, handlers);
      }));
  return std::unique_ptr<RpcServer>(
      new RpcServer(thread.queue(), listening.object, std::move(listening.endpoint), std::move(listening.counters)));
}

RpcServer::RpcServer(std::shared_ptr<RpcQueue> queue, std::uint64_t object, Endpoint endpoint,
                     std::shared_ptr<const Counters> counters)
    : queue_(std::move(queue)), object_(object), endpoint_(std::move(endpoint)), counters_(std::move(counters)) {}

RpcServer::~RpcServer() {
  queue_->post_always([object = object_](RpcLoop& loop) { loop.retire(object); });
}

ServerCounters RpcServer::counters() const { return counters_->read(); }

}  // namespace tessera
