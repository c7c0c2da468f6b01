#include "runtime/device/thread_pool.hpp"

#include <algorithm>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <sched.h>
#include <string>

#include "runtime/base/limits.hpp"
#include "runtime/device/float_mode.hpp"

namespace tessera {

/// TBB starts no more workers than the machine has cores unless told; more are wanted when a user asks for them.
struct ThreadPool::Arena {
  explicit Arena(std::uint32_t threads)
      : allowance(tbb::global_control::max_allowed_parallelism, std::max(threads, usable_cores())),
        arena(static_cast<int>(threads)) {}
  tbb::global_control allowance;
  tbb::task_arena arena;
};

ThreadPool::ThreadPool(std::uint32_t threads) : threads_(threads) {
  if (threads > 1) arena_ = std::make_unique<Arena>(threads);
}

ThreadPool::~ThreadPool() = default;

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(std::uint32_t threads) {
  if (threads < 1 || threads > limits::threads_max) {
    return Error{ErrorCode::invalid_argument,
                 std::to_string(threads) + " threads: use 1 to " + std::to_string(limits::threads_max)};
  }
  return std::unique_ptr<ThreadPool>(new ThreadPool(threads));
}

void ThreadPool::run_erased(std::uint32_t count, Call call, const void* context) {
  if (threads_ == 1 || count <= 1) {
    const FlushDenormals mode;
    for (std::uint32_t index = 0; index < count; ++index) call(context, index, 0);
    return;
  }
  arena_->arena.execute([&] {
    tbb::parallel_for(
        tbb::blocked_range<std::uint32_t>(0, count, 1),
        [&](const tbb::blocked_range<std::uint32_t>& range) {
          const FlushDenormals mode;
          const auto worker = static_cast<std::uint32_t>(tbb::this_task_arena::current_thread_index());
          for (std::uint32_t index = range.begin(); index != range.end(); ++index) call(context, index, worker);
        },
        tbb::simple_partitioner());
  });
}

std::uint32_t usable_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0) return 1;
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&mask)));
}

}  // namespace tessera
