// FrontendSinks: the streams that one connected frontend has open, and what waits to be sent to it.
//
//   executor threads ── UpdateSink::send ──► waiting, merged per stream ── at most 4 messages in flight ──► frontend
//
// Bounded: a stream with too many tokens waiting closes its sink; a frontend that acknowledges nothing loses its
// connection. Both may resume their streams: nothing is lost, since the frontend knows what was delivered.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "cluster/rpc/conductor_service.hpp"
#include "cluster/rpc/peer.hpp"
#include "schemas/cluster.capnp.h"

namespace tessera {

class Session;

/// Part of a Session.
class FrontendSinks {
 public:
  FrontendSinks(Session& session, schema::Updates::Client updates, ConductorHandler& handler)
      : session_(session), updates_(kj::mv(updates)), handler_(handler) {}
  FrontendSinks(const FrontendSinks&) = delete;
  FrontendSinks& operator=(const FrontendSinks&) = delete;

  /// An older sink of the same stream closes.
  SinkId open(StreamId stream, std::uint64_t ticket);
  /// Takes an update of any thread's sink.
  void push(SinkId sink, StreamUpdate update);
  /// The stream was not opened after all, or was cancelled: the handler is told nothing.
  void forget(SinkId sink) { sinks_.erase(sink); }
  void forget_stream(StreamId stream);
  /// The frontend left the stream.
  void detach(std::uint64_t ticket);
  /// The frontend is gone.
  void close_all();
  /// Sends what waits, as far as the frontend keeps up.
  void flush();

 private:
  struct Sink {
    StreamId stream;
    std::uint64_t ticket = 0;
    std::vector<StreamUpdate> waiting;  ///< more than one only where incarnations differ
    std::size_t entries = 0;            ///< tokens and scores in it
    bool ended = false;                 ///< the last update waits
  };
  struct Addressed {
    std::uint64_t ticket;
    StreamUpdate update;
  };

  void close(SinkId sink);
  std::vector<Addressed> take_waiting();
  void send(std::vector<Addressed> updates);
  void sent(const Result<void>& result);

  Session& session_;
  schema::Updates::Client updates_;
  ConductorHandler& handler_;
  std::map<SinkId, Sink> sinks_;
  std::deque<SinkId> ready_;  // with something waiting, once each
  std::size_t in_flight_ = 0;
  bool flush_planned_ = false;
};

}  // namespace tessera
