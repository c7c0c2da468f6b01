// Progress of a long call, from the server's handler to the client's callback: only the newest value is kept while one
// is on its way.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "cluster/rpc/coordinator_service.hpp"
#include "cluster/rpc/session.hpp"

namespace tessera {

/// Sends the values of one call. `Send(client, value)` makes the request.
template <typename T, typename Send>
class ProgressSender final : public LoopObject {
 public:
  ProgressSender(RpcLoop& loop, std::uint64_t id, std::uint64_t session, schema::Progress::Client client, Send send)
      : loop_(loop), id_(id), session_(session), client_(kj::mv(client)), send_(std::move(send)) {}

  void push(T value) {
    next_ = std::move(value);
    if (!in_flight_) send_next();
  }

 private:
  void send_next() {
    auto* session = loop_.find<Session>(session_);
    if (!session || !next_) return;
    in_flight_ = true;
    const T value = *std::exchange(next_, std::nullopt);
    Reply<void> reply([queue = loop_.queue(), id = id_](const Result<void>& result) {
      queue->if_alive([&](RpcLoop& loop) {
        auto* sender = loop.find<ProgressSender>(id);
        if (!sender) return;
        sender->in_flight_ = false;
        if (result) sender->send_next();
      });
    });
    session->call<void>(
        rpc_limits::update_deadline, std::move(reply), [&] { return send_(client_, value); },
        [](auto&) { return Result<void>(); });
  }

  RpcLoop& loop_;
  const std::uint64_t id_;
  const std::uint64_t session_;
  schema::Progress::Client client_;
  Send send_;
  bool in_flight_ = false;
  std::optional<T> next_;
};

/// The sink for a call's handler. The call's promise holds `guard`: with it the sink closes.
template <typename T>
struct ProgressOfCall {
  ProgressSink<T> sink;
  kj::Own<void> guard;
};

template <typename T, typename Send>
class ProgressChannel final : public ProgressSink<T>::Channel {
 public:
  using Sender = ProgressSender<T, Send>;
  ProgressChannel(std::shared_ptr<RpcQueue> queue, std::uint64_t sender) : queue_(std::move(queue)), sender_(sender) {}

  void send(T value) override {
    if (closed_) return;
    queue_->post_task([sender = sender_, value = std::move(value)](RpcLoop& loop) mutable {
      if (auto* object = loop.find<Sender>(sender)) object->push(std::move(value));
    });
  }
  bool closed() const override { return closed_; }
  void close() { closed_ = true; }

 private:
  std::shared_ptr<RpcQueue> queue_;
  const std::uint64_t sender_;
  std::atomic<bool> closed_{false};
};

template <typename T, typename Send>
ProgressOfCall<T> make_progress(RpcLoop& loop, std::uint64_t session, schema::Progress::Client client, Send send) {
  const std::uint64_t id = loop.next_id();
  loop.add(id, std::make_unique<ProgressSender<T, Send>>(loop, id, session, kj::mv(client), std::move(send)));
  auto channel = std::make_shared<ProgressChannel<T, Send>>(loop.queue(), id);
  auto guard = kj::heap(kj::defer([queue = loop.queue(), id, channel] {
    channel->close();
    queue->if_alive([id](RpcLoop& loop) { loop.retire(id); });
  }));
  return {ProgressSink<T>(channel), kj::mv(guard)};
}

}  // namespace tessera
