// The conductor's side of streams, on every node that computes: frontends open streams here and get their tokens
// through a sink. Handler methods run on the RPC thread and must not block.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cluster/control/stream.hpp"
#include "cluster/rpc/connection.hpp"
#include "cluster/rpc/reply.hpp"

namespace tessera {

class RpcQueue;

/// The way of one stream's updates to its frontend. Numbers of sinks are never used again in a process: a stream that
/// is opened again has a new one, so the loss of the old one can be told from the loss of the new.
using SinkId = Id<struct SinkIdTag, std::uint64_t>;

/// A copyable handle for any thread. Updates arrive in order; those of one step travel together, and those that a slow
/// frontend has not fetched are merged. The sink closes with an update that is the stream's last (finished, failed,
/// moved), when the frontend cancels or detaches the stream, and when the frontend is gone.
class UpdateSink {
 public:
  UpdateSink() = default;
  UpdateSink(std::shared_ptr<RpcQueue> queue, ConnectionId connection, SinkId id)
      : queue_(std::move(queue)), connection_(connection), id_(id) {}
  SinkId id() const { return id_; }
  /// Dropped silently when the sink is closed. An update without tokens is a sign of life.
  void send(StreamUpdate update) const;

 private:
  std::shared_ptr<RpcQueue> queue_;
  ConnectionId connection_;
  SinkId id_;
};

/// What frontends need of a model to speak for it.
enum class TextPart : std::uint8_t { tokenizer, chat_template };
struct TokenizerQuery {
  std::string deployment;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;  ///< at most rpc_limits::tokenizer_chunk_bytes_max
  TextPart part = TextPart::tokenizer;
};
struct TokenizerChunk {
  std::string content_id;         ///< of the checkpoint: chunks of different ones do not belong together
  std::uint64_t total_bytes = 0;  ///< of the whole part; 0: the model has none
  std::vector<std::uint8_t> bytes;
};

class ConductorHandler {
 public:
  virtual ~ConductorHandler() = default;
  /// Opens or resumes a stream. Updates may be sent before the answer; after an error no update may be sent. Of two
  /// sinks of one stream the newer one counts.
  virtual void open_stream(const Caller& caller, StreamRequest request, UpdateSink sink, Reply<void> reply) = 0;
  virtual void cancel_stream(const Caller& caller, StreamId stream, Reply<void> reply) = 0;
  virtual void read_tokenizer(const Caller& caller, TokenizerQuery query, Reply<TokenizerChunk> reply) = 0;
  /// The sink is closed though the stream has not ended: its frontend is gone, too slow, or left it. Once per sink.
  virtual void on_frontend_gone(StreamId stream, SinkId sink) = 0;
};

}  // namespace tessera
