// ClientConnection: a dialled connection, from the first packet to its end.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <kj/async-io.h>
#include <kj/compat/tls.h>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cluster/rpc/conductor_client.hpp"
#include "cluster/rpc/connection.hpp"
#include "cluster/rpc/peer.hpp"
#include "schemas/cluster.capnp.h"

namespace tessera {

/// What a client's handle shares: with its last copy the connection is closed.
struct ClientHandle {
  ClientHandle(std::shared_ptr<RpcQueue> queue, std::uint64_t connection, ProtocolFacts server)
      : queue(std::move(queue)), connection(connection), server(std::move(server)) {}
  ~ClientHandle();
  ClientHandle(const ClientHandle&) = delete;
  ClientHandle& operator=(const ClientHandle&) = delete;

  std::shared_ptr<RpcQueue> queue;
  std::uint64_t connection;
  ProtocolFacts server;
};
using ClientHandlePtr = std::shared_ptr<const ClientHandle>;

/// The updates of a frontend's streams, by the ticket of their opening.
struct StreamTickets {
  struct Entry {
    StreamId stream;
    ConductorClient::OnUpdate on_update;
  };
  std::uint64_t last = 0;
  std::map<std::uint64_t, Entry> open;

  std::uint64_t add(StreamId stream, ConductorClient::OnUpdate on_update);
  /// Returns the tickets that were open.
  std::vector<std::uint64_t> remove(StreamId stream);
};

class ClientConnection final : public Peer {
 public:
  ClientConnection(RpcLoop& loop, std::uint64_t id, DialOptions options, schema::Service service,
                   std::function<void(Error)> on_disconnected)
      : Peer(loop, id), options_(std::move(options)), service_(service), on_disconnected_(std::move(on_disconnected)) {}
  ~ClientConnection() noexcept(false) override;

  /// Dials from any thread.
  static void connect(RpcThread& thread, DialOptions options, schema::Service service,
                      std::function<void(Error)> on_disconnected, Reply<ClientHandlePtr> reply);

  schema::Registry::Client& registry() { return *registry_; }
  schema::Cluster::Client& cluster() { return *cluster_; }
  schema::Conductor::Client& conductor() { return *conductor_; }
  StreamTickets& tickets() { return tickets_; }

 private:
  void dial(Reply<ClientHandlePtr> reply);
  kj::Promise<Result<ClientHandlePtr>> dial();
  kj::Promise<Result<ClientHandlePtr>> shake_hands(kj::Own<kj::AsyncIoStream> stream);
  Result<ClientHandlePtr> entered(capnp::Response<schema::Gate::EnterResults>& results);
  Error dial_error(const kj::Exception& e) const;
  void ended();

  DialOptions options_;
  schema::Service service_;
  std::function<void(Error)> on_disconnected_;
  std::unique_ptr<kj::TlsContext> tls_;
  enum class Stage { reaching, securing, entering } stage_ = Stage::reaching;
  bool open_ = false;  ///< the handshake is done
  std::unique_ptr<schema::Registry::Client> registry_;
  std::unique_ptr<schema::Cluster::Client> cluster_;
  std::unique_ptr<schema::Conductor::Client> conductor_;
  StreamTickets tickets_;
  kj::Promise<void> dialling_ = nullptr;
};

/// One call through a handle: `build(connection)` returns the request, `decode(results)` the Result<T>.
template <typename T, typename Build, typename Decode>
void client_call(const ClientHandle& handle, std::chrono::milliseconds deadline, Reply<T> reply, Build build,
                 Decode decode) {
  handle.queue->post_call(std::move(reply), [id = handle.connection, deadline, build = std::move(build),
                                             decode = std::move(decode)](RpcLoop& loop, Reply<T> owed) mutable {
    auto* connection = loop.find<ClientConnection>(id);
    if (!connection) return owed(Error{ErrorCode::unavailable, "the connection is closed; dial again"});
    connection->call<T>(
        deadline, std::move(owed), [&] { return build(*connection); }, std::move(decode));
  });
}

struct DecodeNothing {
  template <typename Results>
  Result<void> operator()(Results&) const {
    return {};
  }
};

}  // namespace tessera
