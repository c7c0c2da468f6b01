// Conductor: what frontends ask of a node that conducts.
#include <algorithm>
#include <utility>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/session.hpp"

namespace tessera {
namespace {

class ConductorServer final : public schema::Conductor::Server, private SessionServer {
 public:
  using SessionServer::SessionServer;

  kj::Promise<void> openStream(OpenStreamContext context) override {
    return serve_conductor<void>(
        RpcMethod::open_stream, context,
        [this](ConductorHandler& handler, Session& session, auto params, Reply<void> reply) {
          StreamRequest request = wire::read(params.getRequest());
          const SinkId sink = session.sinks()->open(request.id, params.getTicket());
          handler.open_stream(session.caller(), std::move(request),
                              UpdateSink(loop_.queue(), session.caller().connection, sink),
                              forgetting(sink, std::move(reply)));
        },
        FillNothing());
  }

  kj::Promise<void> cancelStream(CancelStreamContext context) override {
    return serve_conductor<void>(
        RpcMethod::cancel_stream, context,
        [](ConductorHandler& handler, Session& session, auto params, Reply<void> reply) {
          const StreamId stream{params.getHigh(), params.getLow()};
          session.sinks()->forget_stream(stream);
          handler.cancel_stream(session.caller(), stream, std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> detachStream(DetachStreamContext context) override {
    return serve_conductor<void>(
        RpcMethod::detach_stream, context,
        [](ConductorHandler&, Session& session, auto params, Reply<void> reply) {
          session.sinks()->detach(params.getTicket());
          reply({});
        },
        FillNothing());
  }

  kj::Promise<void> readTokenizer(ReadTokenizerContext context) override {
    return serve_conductor<TokenizerChunk>(
        RpcMethod::read_tokenizer, context,
        [](ConductorHandler& handler, Session& session, auto params, Reply<TokenizerChunk> reply) {
          TokenizerQuery query{wire::read(params.getDeployment()), params.getOffset(), params.getLength()};
          switch (params.getPart()) {
            case schema::TextPart::TOKENIZER:
              break;
            case schema::TextPart::CHAT_TEMPLATE:
              query.part = TextPart::chat_template;
              break;
            default:
              return reply(
                  Error{ErrorCode::unsupported, "this node does not know the part of a model that is asked for"});
          }
          query.length = std::min<std::uint32_t>(query.length, rpc_limits::tokenizer_chunk_bytes_max);
          handler.read_tokenizer(session.caller(), std::move(query), std::move(reply));
        },
        [](auto results, const TokenizerChunk& chunk) {
          results.setContentId(wire::text(chunk.content_id));
          results.setTotalBytes(chunk.total_bytes);
          results.setBytes({chunk.bytes.data(), chunk.bytes.size()});
        });
  }

 private:
  template <typename T, typename Context, typename Invoke, typename Fill>
  kj::Promise<void> serve_conductor(RpcMethod method, Context context, Invoke invoke, Fill fill) {
    Session& now = session();
    if (const auto allowed = now.check(method); !allowed) return answer_failure(context, allowed.error());
    return serve<T>(
        loop_, now.call_count(), context,
        [&](auto params, Reply<T> reply) { invoke(*now.settings().handlers.conductor, now, params, std::move(reply)); },
        std::move(fill));
  }

  /// A stream that was not opened needs no sink.
  Reply<void> forgetting(SinkId sink, Reply<void> reply) const {
    return [queue = loop_.queue(), session = session_, sink, reply = std::move(reply)](Result<void> result) mutable {
      if (!result) {
        queue->post_always([session, sink](RpcLoop& loop) {
          if (auto* found = loop.find<Session>(session)) found->sinks()->forget(sink);
        });
      }
      reply(std::move(result));
    };
  }
};

}  // namespace

kj::Own<schema::Conductor::Server> make_conductor(RpcLoop& loop, std::uint64_t session) {
  return kj::heap<ConductorServer>(loop, session);
}

}  // namespace tessera
