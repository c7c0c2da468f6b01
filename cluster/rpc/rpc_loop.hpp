// RpcLoop: what lives on the RPC thread: the event loop's services, the objects that handles name by number, and the
// answers that calls wait for. Nothing here is touched by another thread.
//
// A handle never points to an object: it has its number, and a task that finds nobody under it answers `unavailable`.
#pragma once

#include <chrono>
#include <cstdint>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/timer.h>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

#include "cluster/rpc/reply.hpp"
#include "cluster/rpc/rpc_queue.hpp"

namespace tessera {

inline kj::Duration kj_duration(std::chrono::milliseconds duration) { return duration.count() * kj::MILLISECONDS; }

/// A listener, a connection, … : created and destroyed on the RPC thread.
class LoopObject {
 public:
  virtual ~LoopObject() noexcept(false) = default;
};

/// Answers that handlers owe to calls of peers.
class PendingAnswers {
  struct Entry {
    virtual ~Entry() noexcept(false) = default;
  };
  using Entries = std::unordered_map<std::uint64_t, std::unique_ptr<Entry>>;

 public:
  explicit PendingAnswers(std::shared_ptr<RpcQueue> queue) : queue_(std::move(queue)) {}

  /// Forgets the answer when it is destroyed: what comes later is dropped. It may outlive the loop
  /// (RpcQueue::if_alive).
  class Expectation {
   public:
    Expectation(std::shared_ptr<Entries> entries, std::uint64_t id) : entries_(std::move(entries)), id_(id) {}
    ~Expectation() { entries_->erase(id_); }
    Expectation(const Expectation&) = delete;
    Expectation& operator=(const Expectation&) = delete;

   private:
    std::shared_ptr<Entries> entries_;
    std::uint64_t id_;
  };

  template <typename T>
  struct Expected {
    kj::Promise<Result<T>> promise;  ///< holds the expectation
    Reply<T> reply;                  ///< for any thread
  };
  template <typename T>
  Expected<T> expect();

 private:
  template <typename T>
  struct EntryOf final : Entry {
    explicit EntryOf(kj::Own<kj::PromiseFulfiller<Result<T>>> fulfiller) : fulfiller(kj::mv(fulfiller)) {}
    kj::Own<kj::PromiseFulfiller<Result<T>>> fulfiller;
  };
  template <typename T>
  void deliver(std::uint64_t id, Result<T> result);

  std::shared_ptr<RpcQueue> queue_;
  std::uint64_t last_id_ = 0;
  const std::shared_ptr<Entries> entries_ = std::make_shared<Entries>();
};

/// Owned by the RPC thread's main function.
class RpcLoop final : private kj::TaskSet::ErrorHandler {
 public:
  RpcLoop(kj::AsyncIoContext& io, std::shared_ptr<RpcQueue> queue);
  ~RpcLoop() noexcept(false) = default;
  KJ_DISALLOW_COPY(RpcLoop);

  /// Until stop() is called; then everything is destroyed and what is queued is run.
  void run();
  void stop() { stopped_->fulfill(); }

  kj::Timer& timer() { return io_.provider->getTimer(); }
  kj::Network& network() { return io_.provider->getNetwork(); }
  const std::shared_ptr<RpcQueue>& queue() const { return queue_; }
  PendingAnswers& answers() { return answers_; }
  /// Closing down: losses of connections are nobody's news any more.
  bool stopping() const { return stopping_; }

  /// Never used again.
  std::uint64_t next_id() { return ++last_id_; }
  void add(std::uint64_t id, std::unique_ptr<LoopObject> object) { objects_[id] = std::move(object); }
  /// nullptr when it is gone.
  template <typename T>
  T* find(std::uint64_t id) {
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : dynamic_cast<T*>(found->second.get());
  }
  /// From now on it is not found; it is destroyed when the current event is over.
  void retire(std::uint64_t id);
  /// Runs `f()` as an event of its own. An object must not be used in it without being looked up again.
  template <typename F>
  void defer(F f) {
    tasks_.add(kj::evalLater(kj::mv(f)));
  }

 private:
  kj::Promise<void> pump();
  static void run_all(RpcQueue::Tasks tasks);
  void taskFailed(kj::Exception&& exception) override;

  kj::AsyncIoContext& io_;
  std::shared_ptr<RpcQueue> queue_;
  PendingAnswers answers_;
  kj::Own<kj::AsyncInputStream> wake_;
  std::uint64_t wake_count_ = 0;
  std::uint64_t last_id_ = 0;
  bool stopping_ = false;
  std::map<std::uint64_t, std::unique_ptr<LoopObject>> objects_;
  kj::TaskSet tasks_;
  kj::Promise<void> stop_promise_ = nullptr;
  kj::Own<kj::PromiseFulfiller<void>> stopped_;
};

// ── inline details ───────────────────────────────────────────────────────────────────────────────────────────────────

template <typename T>
PendingAnswers::Expected<T> PendingAnswers::expect() {
  auto pair = kj::newPromiseAndFulfiller<Result<T>>();
  const std::uint64_t id = ++last_id_;
  (*entries_)[id] = std::make_unique<EntryOf<T>>(kj::mv(pair.fulfiller));
  auto answer = [queue = queue_, id](Result<T> result) {
    if (queue->on_loop_thread()) return queue->loop().answers().template deliver<T>(id, std::move(result));
    queue->post_always([id, result = std::move(result)](RpcLoop& loop) mutable {
      loop.answers().template deliver<T>(id, std::move(result));
    });
  };
  return {pair.promise.attach(kj::heap<Expectation>(entries_, id)), Reply<T>(std::move(answer))};
}

template <typename T>
void PendingAnswers::deliver(std::uint64_t id, Result<T> result) {
  const auto found = entries_->find(id);
  if (found == entries_->end()) return;
  static_cast<EntryOf<T>&>(*found->second).fulfiller->fulfill(std::move(result));
}

}  // namespace tessera
