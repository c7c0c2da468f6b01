// ThreadPool: spreads one operation over cores. A oneTBB arena of fixed width; the caller takes part.
//
//   pool.run(tiles, [&](std::uint32_t task, std::uint32_t worker) { … });   // returns when all tasks are done
//
// Results never depend on the number of threads: tasks write disjoint outputs, each computed in a fixed order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "runtime/base/result.hpp"

namespace tessera {

/// Owned by one shard; run() is called by one thread at a time. Tasks run with denormals flushed (float_mode.hpp) and
/// must not throw.
class ThreadPool {
 public:
  /// 1 .. limits::threads_max threads, the caller included.
  static Result<std::unique_ptr<ThreadPool>> create(std::uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::uint32_t threads() const { return threads_; }

  /// Calls task(index, worker) for every index < count; worker < threads() names the thread, for scratch memory.
  template <typename Task>
  void run(std::uint32_t count, const Task& task) {
    run_erased(
        count,
        [](const void* context, std::uint32_t index, std::uint32_t worker) {
          (*static_cast<const Task*>(context))(index, worker);
        },
        &task);
  }

 private:
  using Call = void (*)(const void* context, std::uint32_t index, std::uint32_t worker);
  struct Arena;
  explicit ThreadPool(std::uint32_t threads);
  void run_erased(std::uint32_t count, Call call, const void* context);

  std::uint32_t threads_;
  std::unique_ptr<Arena> arena_;
};

/// Cores that this process may use (its affinity mask), at least 1.
std::uint32_t usable_cores();

}  // namespace tessera
