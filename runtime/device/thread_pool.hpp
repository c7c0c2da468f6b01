// ThreadPool: spreads one operation over cores. The caller takes part; the others are workers of a oneTBB arena.
//
//   pool.run(tiles, [&](std::uint32_t task, std::uint32_t worker) { … });   // returns when all tasks are done
//
// A layer is a dozen operations of some ten microseconds each. A helper that slept between them would spend as long on
// waking up, so helpers are hot while operations follow each other: each runs one loop that looks for tasks, and is
// parked (its TBB task ends) some milliseconds after the last of them. Tasks are taken one by one from a shared
// counter, so a thread that the system has put aside delays one task and no more.
//
// A pool with a thread for every processor of several NUMA nodes spreads them, each bound to the processors of one
// (topology.hpp).
//
// Results never depend on the number of threads: tasks write disjoint outputs, each computed in a fixed order.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/device/topology.hpp"

namespace tessera {

/// Owned by one shard; run() is called by one thread at a time. Tasks run with denormals flushed (float_mode.hpp) and
/// must not throw.
class ThreadPool {
 public:
  /// 1 .. limits::threads_max threads, the caller included, on this machine as this process may use it.
  static Result<std::unique_ptr<ThreadPool>> create(std::uint32_t threads);
  static Result<std::unique_ptr<ThreadPool>> create(std::uint32_t threads, const Topology& topology);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::uint32_t threads() const { return threads_; }
  /// Where the thread that calls run() belongs, if it is one that does nothing else; the pool binds its helpers only.
  const CpuSet& caller_cpus() const { return cpus_.front(); }

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
  struct Job {
    Call call = nullptr;
    const void* context = nullptr;
    std::uint32_t count = 0;
  };
  struct Arena;
  struct Helper;
  ThreadPool(std::uint32_t threads, std::vector<CpuSet> cpus);
  void run_erased(std::uint32_t count, Call call, const void* context);
  void wake(std::uint32_t wanted);
  void help(std::uint32_t helper);
  void take_tasks(std::uint32_t worker);

  const std::uint32_t threads_;
  const std::vector<CpuSet> cpus_;  ///< of each thread; empty ones: it may run anywhere
  std::unique_ptr<Helper[]> helpers_;
  std::unique_ptr<Arena> arena_;
  std::atomic<bool> ending_{false};
  // Each on a cache line of its own: everyone writes the first two, and the job only changes between jobs.
  alignas(64) std::atomic<std::int32_t> remaining_{0};  ///< tasks that nobody has taken; negative when too many tried
  alignas(64) std::atomic<std::uint32_t> done_{0};      ///< tasks of the job that have ended
  alignas(64) Job job_;
};

}  // namespace tessera
