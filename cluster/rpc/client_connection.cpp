#include "cluster/rpc/client_connection.hpp"

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/tls.hpp"

namespace tessera {
namespace {

class UpdatesServer final : public schema::Updates::Server {
 public:
  UpdatesServer(RpcLoop& loop, std::uint64_t connection) : loop_(loop), connection_(connection) {}

  kj::Promise<void> push(PushContext context) override {
    for (const auto addressed : context.getParams().getUpdates()) {
      auto* connection = loop_.find<ClientConnection>(connection_);
      if (!connection) break;
      auto& open = connection->tickets().open;
      const auto found = open.find(addressed.getTicket());
      if (found == open.end()) continue;
      StreamUpdate update = wire::read(addressed.getUpdate());
      if (update.id != found->second.stream) wire::malformed("an update is for another stream than its ticket");
      const ConductorClient::OnUpdate on_update = found->second.on_update;
      if (update.finished || update.failed || update.moved) open.erase(found);
      on_update(std::move(update));
    }
    return kj::READY_NOW;
  }

 private:
  RpcLoop& loop_;
  const std::uint64_t connection_;
};

}  // namespace

ClientHandle::~ClientHandle() {
  queue->post_always([id = connection](RpcLoop& loop) { loop.retire(id); });
}

std::uint64_t StreamTickets::add(StreamId stream, ConductorClient::OnUpdate on_update) {
  remove(stream);
  open.emplace(++last, Entry{stream, std::move(on_update)});
  return last;
}

std::vector<std::uint64_t> StreamTickets::remove(StreamId stream) {
  std::vector<std::uint64_t> removed;
  for (const auto& [ticket, entry] : open) {
    if (entry.stream == stream) removed.push_back(ticket);
  }
  for (const std::uint64_t ticket : removed) open.erase(ticket);
  return removed;
}

ClientConnection::~ClientConnection() noexcept(false) = default;

void ClientConnection::connect(RpcThread& thread, DialOptions options, schema::Service service,
                               std::function<void(Error)> on_disconnected, Reply<ClientHandlePtr> reply) {
  thread.queue()->post_call(
      std::move(reply), [options = std::move(options), service, on_disconnected = std::move(on_disconnected)](
                            RpcLoop& loop, Reply<ClientHandlePtr> owed) mutable {
        const std::uint64_t id = loop.next_id();
        auto connection =
            std::make_unique<ClientConnection>(loop, id, std::move(options), service, std::move(on_disconnected));
        ClientConnection& dialling = *connection;
        loop.add(id, std::move(connection));
        dialling.dial(std::move(owed));
      });
}

void ClientConnection::dial(Reply<ClientHandlePtr> reply) {
  auto late =
      loop().timer().afterDelay(kj_duration(bounded(options_.deadline))).then([this]() -> Result<ClientHandlePtr> {
        return Error{ErrorCode::timed_out, to_string(options_.endpoint) + " has not finished the handshake within " +
                                               std::to_string(options_.deadline.count()) + " ms"};
      });
  dialling_ = dial()
                  .exclusiveJoin(kj::mv(late))
                  .catch_([this](kj::Exception&& e) -> Result<ClientHandlePtr> { return dial_error(e); })
                  .then([this, reply = std::move(reply)](Result<ClientHandlePtr>&& result) mutable {
                    if (result) {
                      open_ = true;
                    } else {
                      loop().retire(id());
                    }
                    reply(std::move(result));
                  })
                  .eagerlyEvaluate(nullptr);
}

kj::Promise<Result<ClientHandlePtr>> ClientConnection::dial() {
  auto tls = client_tls(options_.identity);
  if (!tls) return Result<ClientHandlePtr>(tls.error());
  tls_ = std::move(*tls);
  stage_ = Stage::reaching;
  return loop()
      .network()
      .parseAddress(wire::text(options_.endpoint.host), options_.endpoint.port)
      .then([](kj::Own<kj::NetworkAddress>&& address) { return address->connect().attach(kj::mv(address)); })
      .then([this](kj::Own<kj::AsyncIoStream>&& stream) {
        stage_ = Stage::securing;
        keep_alive(*stream);
        return tls_->wrapClient(kj::mv(stream), wire::text(dns_name(options_.server)));
      })
      .then([this](kj::Own<kj::AsyncIoStream>&& stream) { return shake_hands(kj::mv(stream)); });
}

kj::Promise<Result<ClientHandlePtr>> ClientConnection::shake_hands(kj::Own<kj::AsyncIoStream> stream) {
  stage_ = Stage::entering;
  speak(kj::mv(stream), capnp::rpc::twoparty::Side::CLIENT, nullptr, rpc_limits::message_bytes_max,
        [&loop = loop(), id = id()] {
          if (auto* connection = loop.find<ClientConnection>(id)) connection->ended();
        });
  auto request = bootstrap().castAs<schema::Gate>().enterRequest();
  auto hello = request.initHello();
  hello.setProtocolVersion(rpc_protocol_version);
  hello.setCluster(wire::text(options_.facts.cluster));
  hello.setProfile(wire::text(options_.facts.profile));
  hello.setSoftware(wire::text(options_.facts.software));
  hello.setIncarnation(options_.facts.incarnation.value);
  hello.setService(service_);
  if (service_ == schema::Service::CONDUCTOR) request.setUpdates(kj::heap<UpdatesServer>(loop(), id()));
  return request.send().then(
      [this](capnp::Response<schema::Gate::EnterResults>&& results) { return entered(results); });
}

Result<ClientHandlePtr> ClientConnection::entered(capnp::Response<schema::Gate::EnterResults>& results) {
  if (results.hasFailure()) return wire::read(results.getFailure());
  const auto facts = results.getServer();
  if (service_ == schema::Service::COORDINATOR) {
    registry_ = std::make_unique<schema::Registry::Client>(results.getRegistry());
    cluster_ = std::make_unique<schema::Cluster::Client>(results.getCluster());
  } else {
    conductor_ = std::make_unique<schema::Conductor::Client>(results.getConductor());
  }
  ProtocolFacts server{
      wire::read(facts.getCluster()), wire::read(facts.getProfile()), wire::read(facts.getSoftware()), {}};
  return std::make_shared<const ClientHandle>(loop().queue(), id(), std::move(server));
}

Error ClientConnection::dial_error(const kj::Exception& e) const {
  const std::string peer = common_name(options_.server) + " at " + to_string(options_.endpoint);
  const std::string text = e.getDescription().cStr();
  switch (stage_) {
    case Stage::reaching:
      return {ErrorCode::unavailable, peer + " cannot be reached: " + text};
    case Stage::securing:
      return {ErrorCode::denied, peer + " is not who it should be, or does not speak TLS: " + text};
    case Stage::entering:
      break;
  }
  return {ErrorCode::denied, peer + " has closed the connection in the handshake: " + text +
                                 "; is this process's certificate signed by the cluster's authority, and still valid?"};
}

void ClientConnection::ended() {
  if (!open_) return;  // the handshake fails by itself
  const std::function<void(Error)> on_disconnected = std::exchange(on_disconnected_, nullptr);
  loop().retire(id());
  if (on_disconnected) {
    on_disconnected({ErrorCode::unavailable, "the connection to " + common_name(options_.server) + " at " +
                                                 to_string(options_.endpoint) + " was lost; dial again"});
  }
}

}  // namespace tessera
