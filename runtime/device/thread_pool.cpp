#include "runtime/device/thread_pool.hpp"

#include <algorithm>
#include <immintrin.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <sched.h>
#include <string>

#include "runtime/base/limits.hpp"
#include "runtime/device/float_mode.hpp"

namespace tessera {

namespace {

/// How long a helper stays hot: some 20 µs of pauses, then some milliseconds in which it looks again whenever nobody
/// else wants its core. A step follows a step sooner than that; then it parks.
constexpr std::uint32_t pauses_before_yield = 1000;
constexpr std::uint32_t yields_before_park = 5000;

/// One look at something that another thread will change: first with a pause, later giving the core away, as the other
/// thread may need it.
class Wait {
 public:
  /// False once the patience of a helper is over.
  bool look_again() {
    if (looks_ < pauses_before_yield) {
      _mm_pause();
    } else {
      ::sched_yield();
    }
    return ++looks_ < pauses_before_yield + yields_before_park;
  }
  void reset() { looks_ = 0; }

 private:
  std::uint32_t looks_ = 0;
};

}  // namespace

/// TBB starts no more workers than the machine has cores unless told; more are wanted when a user asks for them.
struct ThreadPool::Arena {
  explicit Arena(std::uint32_t threads)
      : allowance(tbb::global_control::max_allowed_parallelism, std::max(threads, usable_cores())),
        arena(static_cast<int>(threads)) {}
  tbb::global_control allowance;
  tbb::task_arena arena;
};

struct alignas(64) ThreadPool::Helper {
  /// Set by the caller before it enqueues the helper's loop, cleared by that loop as its last act: one loop at a time
  /// has a helper's number.
  std::atomic<bool> awake{false};
};

ThreadPool::ThreadPool(std::uint32_t threads, std::vector<CpuSet> cpus) : threads_(threads), cpus_(std::move(cpus)) {
  if (threads == 1) return;
  helpers_ = std::make_unique<Helper[]>(threads - 1);
  arena_ = std::make_unique<Arena>(threads);
}

ThreadPool::~ThreadPool() {
  if (threads_ == 1) return;
  ending_.store(true, std::memory_order_relaxed);
  Wait wait;
  for (std::uint32_t i = 0; i + 1 < threads_; ++i) {
    while (helpers_[i].awake.load(std::memory_order_acquire)) wait.look_again();
  }
}

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(std::uint32_t threads) {
  // What the process may use does not change, and looking it up takes milliseconds.
  static const Topology machine = Topology::detect();
  return create(threads, machine);
}

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(std::uint32_t threads, const Topology& topology) {
  if (threads < 1 || threads > limits::threads_max) {
    return Error{ErrorCode::invalid_argument,
                 std::to_string(threads) + " threads: use 1 to " + std::to_string(limits::threads_max)};
  }
  std::vector<CpuSet> cpus = topology.spread(threads);
  cpus.resize(threads);
  return std::unique_ptr<ThreadPool>(new ThreadPool(threads, std::move(cpus)));
}

void ThreadPool::run_erased(std::uint32_t count, Call call, const void* context) {
  const FlushDenormals mode;
  if (threads_ == 1 || count <= 1) {
    for (std::uint32_t index = 0; index < count; ++index) call(context, index, 0);
    return;
  }
  job_ = {call, context, count};
  done_.store(0, std::memory_order_relaxed);
  remaining_.store(static_cast<std::int32_t>(count), std::memory_order_release);
  wake(std::min(threads_, count) - 1);
  take_tasks(0);
  Wait wait;
  while (done_.load(std::memory_order_acquire) != count) wait.look_again();
}

/// Nothing depends on a helper that comes late or not at all: whoever is awake takes the tasks.
void ThreadPool::wake(std::uint32_t wanted) {
  for (std::uint32_t i = 0; i < wanted; ++i) {
    if (helpers_[i].awake.load(std::memory_order_acquire)) continue;
    helpers_[i].awake.store(true, std::memory_order_relaxed);
    arena_->arena.enqueue([this, i] { help(i); });
  }
}

void ThreadPool::help(std::uint32_t helper) {
  {
    // Threads of TBB serve other arenas too: the binding ends with the loop.
    const ThreadBinding binding(cpus_[helper + 1]);
    const FlushDenormals mode;
    Wait wait;
    while (!ending_.load(std::memory_order_relaxed)) {
      if (remaining_.load(std::memory_order_relaxed) > 0) {
        take_tasks(helper + 1);
        wait.reset();
      } else if (!wait.look_again()) {
        break;
      }
    }
  }
  helpers_[helper].awake.store(false, std::memory_order_release);
}

/// A task is taken by counting `remaining_` down. Whoever gets a positive number has a task of the job in force, and
/// that job cannot end before the task is done: so `job_` may be read, even by a thread that is late from the job
/// before.
void ThreadPool::take_tasks(std::uint32_t worker) {
  while (remaining_.load(std::memory_order_relaxed) > 0) {
    const std::int32_t left = remaining_.fetch_sub(1, std::memory_order_acquire);
    if (left <= 0) return;
    job_.call(job_.context, job_.count - static_cast<std::uint32_t>(left), worker);
    done_.fetch_add(1, std::memory_order_release);
  }
}

}  // namespace tessera
