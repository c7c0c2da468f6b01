// ConductorClient: a frontend's connection to a node that conducts. One connection carries any number of streams.
//
// Callbacks run on the RPC thread and must not block. Every call answers exactly once, as in coordinator_client.hpp.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "cluster/rpc/conductor_service.hpp"
#include "cluster/rpc/rpc_thread.hpp"

namespace tessera {

/// A copyable handle for any thread; the connection is closed when the last copy is gone.
class ConductorClient {
 public:
  using Deadline = std::chrono::milliseconds;
  using OnUpdate = std::function<void(StreamUpdate)>;

  /// As CoordinatorClient::connect. A lost connection is told once; each of its streams is lost with it.
  static void connect(RpcThread& thread, DialOptions options, std::function<void(Error)> on_disconnected,
                      Reply<ConductorClient> reply);

  /// Opens or resumes a stream. `on_update` gets its updates in order, perhaps some before the answer, none after an
  /// error, after the last one, or after cancel_stream() and detach_stream() were carried out. Opening a stream again
  /// replaces `on_update`.
  void open_stream(StreamRequest request, Deadline deadline, OnUpdate on_update, Reply<void> reply) const;
  /// The conductor forgets the stream.
  void cancel_stream(StreamId stream, Deadline deadline, Reply<void> reply) const;
  /// No more updates; the stream waits for its frontend to come back for a while.
  void detach_stream(StreamId stream) const;
  void read_tokenizer(TokenizerQuery query, Deadline deadline, Reply<TokenizerChunk> reply) const;

  /// What the server said in the handshake.
  const ProtocolFacts& server() const;

  struct Handle;  ///< cluster/rpc only
  explicit ConductorClient(std::shared_ptr<const Handle> handle) : handle_(std::move(handle)) {}

 private:
  std::shared_ptr<const Handle> handle_;
};

}  // namespace tessera
