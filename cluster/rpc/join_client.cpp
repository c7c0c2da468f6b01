#include <memory>
#include <utility>

#include "cluster/rpc/join_service.hpp"
#include "cluster/rpc/peer.hpp"
#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/tls.hpp"
#include "schemas/join.capnp.h"

namespace tessera {
namespace {

class JoinConnection final : public Peer {
 public:
  JoinConnection(RpcLoop& loop, std::uint64_t id, JoinDial dial, JoinRequest request)
      : Peer(loop, id), dial_(std::move(dial)), request_(std::move(request)) {}

  void start(Reply<JoinAnswer> reply);

 private:
  kj::Promise<Result<JoinAnswer>> ask();
  kj::Promise<Result<JoinAnswer>> send(kj::Own<kj::AsyncIoStream> stream);
  Result<JoinAnswer> answered(capnp::Response<schema::JoinDesk::JoinResults>& results) const;
  Error failed(const kj::Exception& e) const;

  JoinDial dial_;
  JoinRequest request_;
  std::unique_ptr<kj::TlsContext> tls_;
  enum class Stage { reaching, securing, asking } stage_ = Stage::reaching;
  kj::Promise<void> work_ = nullptr;
};

void JoinConnection::start(Reply<JoinAnswer> reply) {
  auto late = loop().timer().afterDelay(kj_duration(bounded(dial_.deadline))).then([this]() -> Result<JoinAnswer> {
    return Error{ErrorCode::timed_out, "the coordinator at " + to_string(dial_.endpoint) + " has not answered within " +
                                           std::to_string(dial_.deadline.count()) +
                                           " ms; the token may be spent: create a new one if it is refused"};
  });
  work_ = ask()
              .exclusiveJoin(kj::mv(late))
              .catch_([this](kj::Exception&& e) -> Result<JoinAnswer> { return failed(e); })
              .then([this, reply = std::move(reply)](Result<JoinAnswer>&& result) mutable {
                loop().retire(id());
                reply(std::move(result));
              })
              .eagerlyEvaluate(nullptr);
}

kj::Promise<Result<JoinAnswer>> JoinConnection::ask() {
  auto tls = client_tls({{}, {}, dial_.authority_pem});
  if (!tls) return Result<JoinAnswer>(tls.error());
  tls_ = std::move(*tls);
  return loop()
      .network()
      .parseAddress(wire::text(dial_.endpoint.host), dial_.endpoint.port)
      .then([](kj::Own<kj::NetworkAddress>&& address) { return address->connect().attach(kj::mv(address)); })
      .then([this](kj::Own<kj::AsyncIoStream>&& stream) {
        stage_ = Stage::securing;
        return tls_->wrapClient(kj::mv(stream), wire::text(dns_name(dial_.coordinator)));
      })
      .then([this](kj::Own<kj::AsyncIoStream>&& stream) { return send(kj::mv(stream)); });
}

kj::Promise<Result<JoinAnswer>> JoinConnection::send(kj::Own<kj::AsyncIoStream> stream) {
  stage_ = Stage::asking;
  speak(kj::mv(stream), capnp::rpc::twoparty::Side::CLIENT, nullptr, rpc_limits::join_message_bytes_max, [] {});
  auto call = bootstrap().castAs<schema::JoinDesk>().joinRequest();
  call.setTimeoutMs(static_cast<std::uint32_t>(bounded(dial_.deadline).count()));
  call.setProtocolVersion(rpc_protocol_version);
  call.setToken(wire::text(request_.token));
  call.setRequestPem(wire::text(request_.request_pem));
  call.setName(wire::text(request_.name));
  return call.send().then(
      [this](capnp::Response<schema::JoinDesk::JoinResults>&& results) { return answered(results); });
}

Result<JoinAnswer> JoinConnection::answered(capnp::Response<schema::JoinDesk::JoinResults>& results) const {
  if (results.hasFailure()) return wire::read(results.getFailure());
  TESSERA_TRY(Identity identity, parse_common_name(wire::read(results.getIdentity())));
  TESSERA_TRY(Identity coordinator, parse_common_name(wire::read(results.getCoordinator())));
  Endpoint rpc = wire::read(results.getRpc());
  if (rpc.host.empty()) rpc.host = dial_.endpoint.host;
  return JoinAnswer{wire::read(results.getCertificatePem()), std::move(identity), wire::read(results.getCluster()),
                    std::move(coordinator), std::move(rpc)};
}

Error JoinConnection::failed(const kj::Exception& e) const {
  const std::string peer = "the coordinator at " + to_string(dial_.endpoint);
  const std::string text = e.getDescription().cStr();
  switch (stage_) {
    case Stage::reaching:
      return {ErrorCode::unavailable, peer + " cannot be reached: " + text};
    case Stage::securing:
      return {ErrorCode::denied, peer + " is not " + common_name(dial_.coordinator) + " of this cluster: " + text};
    case Stage::asking:
      break;
  }
  return wire::error_of(e);
}

}  // namespace

void join_cluster(RpcThread& thread, JoinDial dial, JoinRequest request, Reply<JoinAnswer> reply) {
  thread.queue()->post_call(std::move(reply), [dial = std::move(dial), request = std::move(request)](
                                                  RpcLoop& loop, Reply<JoinAnswer> owed) mutable {
    const std::uint64_t id = loop.next_id();
    auto connection = std::make_unique<JoinConnection>(loop, id, std::move(dial), std::move(request));
    JoinConnection& started = *connection;
    loop.add(id, std::move(connection));
    started.start(std::move(owed));
  });
}

}  // namespace tessera
