#include "cluster/rpc/conductor_client.hpp"

#include <utility>

#include "cluster/rpc/client_connection.hpp"

namespace tessera {

struct ConductorClient::Handle {
  ClientHandlePtr connection;
};

namespace {

constexpr std::chrono::milliseconds detach_deadline{5000};

void detach(Peer& peer, schema::Conductor::Client& conductor, std::uint64_t ticket) {
  peer.call<void>(
      detach_deadline, Reply<void>(),
      [&] {
        auto request = conductor.detachStreamRequest();
        request.setTicket(ticket);
        return request;
      },
      DecodeNothing());
}

/// Forgets the opening when it failed; where the server may have accepted it all the same, tells it.
Reply<void> forgetting(std::shared_ptr<RpcQueue> queue, std::uint64_t connection, std::uint64_t ticket,
                       Reply<void> reply) {
  return [queue = std::move(queue), connection, ticket, reply = std::move(reply)](Result<void> result) mutable {
    queue->if_alive([&](RpcLoop& loop) {
      auto* found = result ? nullptr : loop.find<ClientConnection>(connection);
      if (found && found->tickets().open.erase(ticket) > 0 && result.error().code == ErrorCode::timed_out) {
        detach(*found, found->conductor(), ticket);
      }
    });
    reply(std::move(result));
  };
}

}  // namespace

void ConductorClient::connect(RpcThread& thread, DialOptions options, std::function<void(Error)> on_disconnected,
                              Reply<ConductorClient> reply) {
  ClientConnection::connect(thread, std::move(options), schema::Service::CONDUCTOR, std::move(on_disconnected),
                            [reply = std::move(reply)](Result<ClientHandlePtr> result) mutable {
                              if (!result) return reply(result.error());
                              reply(ConductorClient(std::make_shared<const Handle>(Handle{std::move(*result)})));
                            });
}

const ProtocolFacts& ConductorClient::server() const { return handle_->connection->server; }

void ConductorClient::open_stream(StreamRequest stream, Deadline deadline, OnUpdate on_update,
                                  Reply<void> reply) const {
  handle_->connection->queue->post_call(
      std::move(reply), [id = handle_->connection->connection, stream = std::move(stream), deadline,
                         on_update = std::move(on_update)](RpcLoop& loop, Reply<void> owed) mutable {
        auto* connection = loop.find<ClientConnection>(id);
        if (!connection) return owed(Error{ErrorCode::unavailable, "the connection is closed; dial again"});
        const std::uint64_t ticket = connection->tickets().add(stream.id, std::move(on_update));
        connection->call<void>(
            deadline, forgetting(loop.queue(), id, ticket, std::move(owed)),
            [&] {
              auto request = connection->conductor().openStreamRequest();
              request.setTicket(ticket);
              wire::write(request.initRequest(), stream);
              return request;
            },
            DecodeNothing());
      });
}

void ConductorClient::cancel_stream(StreamId stream, Deadline deadline, Reply<void> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [stream](ClientConnection& connection) {
        connection.tickets().remove(stream);
        auto request = connection.conductor().cancelStreamRequest();
        request.setHigh(stream.high);
        request.setLow(stream.low);
        return request;
      },
      DecodeNothing());
}

void ConductorClient::detach_stream(StreamId stream) const {
  handle_->connection->queue->post_task([id = handle_->connection->connection, stream](RpcLoop& loop) {
    auto* connection = loop.find<ClientConnection>(id);
    if (!connection) return;
    for (const std::uint64_t ticket : connection->tickets().remove(stream)) {
      detach(*connection, connection->conductor(), ticket);
    }
  });
}

void ConductorClient::read_tokenizer(TokenizerQuery query, Deadline deadline, Reply<TokenizerChunk> reply) const {
  client_call(
      *handle_->connection, deadline, std::move(reply),
      [query = std::move(query)](ClientConnection& connection) {
        auto request = connection.conductor().readTokenizerRequest();
        request.setDeployment(wire::text(query.deployment));
        request.setOffset(query.offset);
        request.setLength(query.length);
        request.setPart(query.part == TextPart::tokenizer ? schema::TextPart::TOKENIZER
                                                          : schema::TextPart::CHAT_TEMPLATE);
        return request;
      },
      [](auto& results) -> Result<TokenizerChunk> {
        const auto bytes = results.getBytes();
        return TokenizerChunk{
            wire::read(results.getContentId()), results.getTotalBytes(), {bytes.begin(), bytes.end()}};
      });
}

}  // namespace tessera
