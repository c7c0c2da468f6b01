// Peer: one connection with Cap'n Proto RPC on it, dialled or accepted, and the calls that go out over it.
//
// Every outgoing call has a deadline on the RPC thread's timer and answers its Reply once; when the Peer is destroyed,
// the Replies that are still open answer `unavailable`.
#pragma once

#include <algorithm>
#include <capnp/capability.h>
#include <capnp/rpc-twoparty.h>
#include <chrono>
#include <cstdint>
#include <kj/async-io.h>
#include <kj/async.h>
#include <memory>
#include <string>
#include <utility>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/rpc_loop.hpp"
#include "cluster/rpc/wire.hpp"

namespace tessera {

/// Confined to the RPC thread, like everything below.
class Peer : public LoopObject, private kj::TaskSet::ErrorHandler {
 public:
  Peer(RpcLoop& loop, std::uint64_t id) : loop_(loop), id_(id), calls_(*this) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  RpcLoop& loop() { return loop_; }
  std::uint64_t id() const { return id_; }

  /// Calls the peer: `build()` returns the request, `decode(results)` the Result<T> of an answer that is no failure.
  template <typename T, typename Build, typename Decode>
  void call(std::chrono::milliseconds deadline, Reply<T> reply, Build build, Decode decode);

  static std::chrono::milliseconds bounded(std::chrono::milliseconds deadline) {
    return std::clamp(deadline, std::chrono::milliseconds(1), rpc_limits::call_deadline_max);
  }

 protected:
  /// Begins to speak. `on_end` is called once, as an event of its own, when the other side is gone.
  template <typename OnEnd>
  void speak(kj::Own<kj::AsyncIoStream> stream, capnp::rpc::twoparty::Side side,
             kj::Maybe<capnp::Capability::Client> bootstrap, std::size_t message_bytes_max, OnEnd on_end);
  /// The other side's bootstrap capability.
  capnp::Capability::Client bootstrap();

 private:
  template <typename T, typename Params, typename Results, typename Decode>
  void send(capnp::Request<Params, Results> request, std::chrono::milliseconds deadline, Reply<T>& reply,
            Decode decode);
  void taskFailed(kj::Exception&& exception) override;

  RpcLoop& loop_;
  const std::uint64_t id_;
  // In this order: each refers to the ones above.
  kj::Own<kj::AsyncIoStream> stream_;
  kj::Own<capnp::TwoPartyVatNetwork> network_;
  kj::Own<capnp::RpcSystem<capnp::rpc::twoparty::VatId>> rpc_;
  kj::Promise<void> end_ = nullptr;
  kj::TaskSet calls_;
};

// ── inline details ───────────────────────────────────────────────────────────────────────────────────────────────────

template <typename T, typename Build, typename Decode>
void Peer::call(std::chrono::milliseconds deadline, Reply<T> reply, Build build, Decode decode) {
  if (network_->getCurrentQueueSize() > rpc_limits::flow_bytes_max) {
    return reply(
        Error{ErrorCode::exhausted, "the peer does not read: too many bytes wait for it; repeat the call later"});
  }
  try {
    send<T>(build(), bounded(deadline), reply, std::move(decode));
  } catch (const kj::Exception& e) {
    if (reply) reply(wire::error_of(e));
  }
}

template <typename T, typename Params, typename Results, typename Decode>
void Peer::send(capnp::Request<Params, Results> request, std::chrono::milliseconds deadline, Reply<T>& reply,
                Decode decode) {
  request.setTimeoutMs(static_cast<std::uint32_t>(deadline.count()));
  kj::Promise<Result<T>> answered =
      request.send().then([decode = std::move(decode)](capnp::Response<Results>&& results) mutable -> Result<T> {
        if (results.hasFailure()) return wire::read(results.getFailure());
        return decode(results);
      });
  kj::Promise<Result<T>> late = loop_.timer().afterDelay(kj_duration(deadline)).then([deadline]() -> Result<T> {
    return Error{ErrorCode::timed_out, "the peer has not answered within " + std::to_string(deadline.count()) +
                                           " ms; the request may or may not have happened"};
  });
  calls_.add(answered.exclusiveJoin(kj::mv(late))
                 .catch_([](kj::Exception&& e) -> Result<T> { return wire::error_of(e); })
                 .then([reply = std::move(reply)](Result<T>&& result) mutable { reply(std::move(result)); }));
}

template <typename OnEnd>
void Peer::speak(kj::Own<kj::AsyncIoStream> stream, capnp::rpc::twoparty::Side side,
                 kj::Maybe<capnp::Capability::Client> bootstrap, std::size_t message_bytes_max, OnEnd on_end) {
  stream_ = kj::mv(stream);
  network_ = kj::heap<capnp::TwoPartyVatNetwork>(*stream_, side, wire::reader_options(message_bytes_max));
  rpc_ = kj::heap<capnp::RpcSystem<capnp::rpc::twoparty::VatId>>(*network_, kj::mv(bootstrap));
  rpc_->setFlowLimit(rpc_limits::flow_bytes_max / sizeof(capnp::word));
  end_ = network_->onDisconnect()
             .then([&loop = loop_, on_end = std::move(on_end)]() mutable { loop.defer(std::move(on_end)); })
             .eagerlyEvaluate(nullptr);
}

}  // namespace tessera
