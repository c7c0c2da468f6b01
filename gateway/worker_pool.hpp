// WorkerPool: threads for what an event loop must not do: parse and tokenize, wait for the cluster.
//
//   return pool.run<Plan>([…] { return make_plan(…); }).then([](Plan plan) { … });     // back on the loop
#pragma once

#include <cstddef>
#include <functional>
#include <kj/async.h>
#include <memory>
#include <utility>

#include "gateway/api_error.hpp"
#include "runtime/base/blocking_worker.hpp"

namespace tessera::gateway {

/// Tasks that wait; more are answered 429.
inline constexpr std::size_t pool_tasks_max = 1024;

/// Any thread. Hands tasks to the threads of `worker`, which outlives the loops that wait for results.
class WorkerPool {
 public:
  explicit WorkerPool(BlockingWorker& worker) : worker_(worker) {}

  /// Tasks from now on keep `owner` alive until they have run, also those that nobody waits for any more.
  void keep(std::weak_ptr<const void> owner) { owner_ = std::move(owner); }

  /// Runs `task` on a worker, and hands its outcome to the loop of the calling thread. When nobody waits for the
  /// outcome any more, it is destroyed on the worker. A loop's thread.
  template <typename T>
  kj::Promise<Outcome<T>> run(std::function<Outcome<T>()> task) {
    struct Owed {
      std::shared_ptr<const void> owner;  // first: it goes last
      std::function<Outcome<T>()> task;
      kj::Own<kj::CrossThreadPromiseFulfiller<Outcome<T>>> fulfiller;
    };
    auto pair = kj::newPromiseAndCrossThreadFulfiller<Outcome<T>>();
    auto owed = std::make_shared<Owed>(Owed{owner_.lock(), std::move(task), kj::mv(pair.fulfiller)});
    if (!worker_.post([owed] { owed->fulfiller->fulfill(owed->task()); }))
      return Outcome<T>(overloaded("this server has too many requests waiting; try again"));
    return kj::mv(pair.promise);
  }

 private:
  BlockingWorker& worker_;
  std::weak_ptr<const void> owner_;
};

}  // namespace tessera::gateway
