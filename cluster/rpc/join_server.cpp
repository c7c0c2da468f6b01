#include <memory>
#include <utility>

#include "cluster/rpc/acceptor.hpp"
#include "cluster/rpc/join_service.hpp"
#include "cluster/rpc/peer.hpp"
#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/serve.hpp"
#include "schemas/join.capnp.h"

namespace tessera {
namespace {

/// From accept to the answer: signing takes milliseconds, the coordinator's store perhaps more.
constexpr std::chrono::milliseconds join_deadline{10'000};

/// One connection of a joiner. It stays a stranger until its request is answered.
class JoinSession final : public Peer {
 public:
  JoinSession(RpcLoop& loop, std::uint64_t id, std::uint64_t acceptor, JoinHandler& handler, std::string address)
      : Peer(loop, id), acceptor_(acceptor), handler_(handler), address_(std::move(address)) {}

  void begin(kj::Own<kj::AsyncIoStream> stream);
  /// One request per connection.
  bool take_turn() { return !std::exchange(asked_, true); }
  JoinHandler& handler() { return handler_; }
  const std::string& address() const { return address_; }
  /// Closed after a moment, in which the joiner reads the answer.
  void answered(const Result<JoinAnswer>& answer) {
    auto* acceptor = loop().find<Acceptor>(acceptor_);
    if (!acceptor) return;
    if (!answer) {
      acceptor->refused(id(), "it may not join: " + answer.error().message);
    } else {
      acceptor->entered(id());
    }
  }
  void ended() {
    if (auto* acceptor = loop().find<Acceptor>(acceptor_)) acceptor->left(id());
    loop().retire(id());
  }

 private:
  const std::uint64_t acceptor_;
  JoinHandler& handler_;
  const std::string address_;
  bool asked_ = false;
};

class JoinDeskServer final : public schema::JoinDesk::Server {
 public:
  JoinDeskServer(RpcLoop& loop, std::uint64_t session) : loop_(loop), session_(session) {}

  kj::Promise<void> join(JoinContext context) override {
    auto* session = loop_.find<JoinSession>(session_);
    if (!session || !session->take_turn()) {
      return answer_failure(context, {ErrorCode::conflict, "a connection carries one request; dial again"});
    }
    const std::uint32_t version = context.getParams().getProtocolVersion();
    if (version != rpc_protocol_version) {
      return answer_failure(
          context, {ErrorCode::unsupported, "refused: the joiner has protocol version " + std::to_string(version) +
                                                ", the cluster has " + std::to_string(rpc_protocol_version) +
                                                "; use the same version of Tessera on both"});
    }
    return serve<JoinAnswer>(
        loop_, count_, context,
        [&](auto params, Reply<JoinAnswer> reply) {
          JoinRequest request{wire::read(params.getToken()), wire::read(params.getRequestPem()),
                              wire::read(params.getName())};
          Reply<JoinAnswer> noted = [id = session_, queue = loop_.queue(),
                                     reply = std::move(reply)](Result<JoinAnswer> answer) mutable {
            queue->post_always([id, answer](RpcLoop& loop) {
              if (auto* found = loop.find<JoinSession>(id)) found->answered(answer);
            });
            reply(std::move(answer));
          };
          session->handler().join(session->address(), std::move(request), std::move(noted));
        },
        [](auto results, const JoinAnswer& answer) {
          results.setCertificatePem(wire::text(answer.certificate_pem));
          results.setIdentity(wire::text(common_name(answer.identity)));
          results.setCluster(wire::text(answer.cluster));
          results.setCoordinator(wire::text(common_name(answer.coordinator)));
          wire::write(results.initRpc(), answer.coordinator_rpc);
        });
  }

 private:
  RpcLoop& loop_;
  const std::uint64_t session_;
  std::shared_ptr<CallCount> count_ = std::make_shared<CallCount>();
};

void JoinSession::begin(kj::Own<kj::AsyncIoStream> stream) {
  speak(kj::mv(stream), capnp::rpc::twoparty::Side::SERVER,
        capnp::Capability::Client(kj::heap<JoinDeskServer>(loop(), id())), rpc_limits::join_message_bytes_max,
        [&loop = loop(), id = id()] {
          if (auto* session = loop.find<JoinSession>(id)) session->ended();
        });
}

class JoinAcceptor final : public Acceptor {
 public:
  JoinAcceptor(RpcLoop& loop, std::uint64_t id, Options options, JoinHandler& handler)
      : Acceptor(loop, id, std::move(options)), handler_(handler) {}

 private:
  void welcome(std::uint64_t connection, kj::AuthenticatedStream stream, std::string address) override {
    auto session = std::make_unique<JoinSession>(loop(), connection, id(), handler_, std::move(address));
    session->begin(kj::mv(stream.stream));
    loop().add(connection, std::move(session));
  }

  JoinHandler& handler_;
};

}  // namespace

Result<std::unique_ptr<JoinServer>> JoinServer::listen(RpcThread& thread, Endpoint listen, TlsIdentity identity,
                                                       JoinHandler& handler) {
  TESSERA_TRY(std::unique_ptr<ServerTls> tls, ServerTls::create({std::move(identity)}, false));
  auto shared_tls = std::make_shared<std::unique_ptr<ServerTls>>(std::move(tls));
  TESSERA_TRY(Listening listening, open_acceptor(thread, [=, &handler](RpcLoop& loop, std::uint64_t id) {
                return std::make_unique<JoinAcceptor>(
                    loop, id, Acceptor::Options{listen, std::move(*shared_tls), join_deadline, "the join listener"},
                    handler);
              }));
  return std::unique_ptr<JoinServer>(
      new JoinServer(thread.queue(), listening.object, std::move(listening.endpoint), std::move(listening.counters)));
}

JoinServer::JoinServer(std::shared_ptr<RpcQueue> queue, std::uint64_t object, Endpoint endpoint,
                       std::shared_ptr<const RpcServer::Counters> counters)
    : queue_(std::move(queue)), object_(object), endpoint_(std::move(endpoint)), counters_(std::move(counters)) {}

JoinServer::~JoinServer() {
  queue_->post_always([object = object_](RpcLoop& loop) { loop.retire(object); });
}

ServerCounters JoinServer::counters() const { return counters_->read(); }

}  // namespace tessera
