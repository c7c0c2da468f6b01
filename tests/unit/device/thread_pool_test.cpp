#include "runtime/device/thread_pool.hpp"

#include <atomic>
#include <immintrin.h>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"

using namespace tessera;

BOOST_AUTO_TEST_CASE(every_task_runs_once_on_a_named_worker_with_denormals_flushed) {
  for (const std::uint32_t threads : {1u, 2u, 5u}) {
    auto pool = ThreadPool::create(threads);
    BOOST_REQUIRE(pool);
    for (const std::uint32_t count : {0u, 1u, 3u, 1000u}) {
      std::vector<std::atomic<int>> runs(count);
      std::atomic<bool> good{true};
      (*pool)->run(count, [&](std::uint32_t task, std::uint32_t worker) {
        runs[task].fetch_add(1);
        if (worker >= threads || (_mm_getcsr() & 0x8040) != 0x8040) good = false;
      });
      BOOST_TEST(good);
      for (const auto& run : runs) BOOST_TEST(run.load() == 1);
    }
  }
}

BOOST_AUTO_TEST_CASE(jobs_that_follow_each_other_at_once_keep_their_own_tasks) {
  // More threads than cores: some are always late, from a job that is over.
  auto pool = ThreadPool::create(7);
  BOOST_REQUIRE(pool);
  std::vector<std::uint32_t> sums(7 * 16);  // a cache line per worker
  std::uint64_t expected = 0;
  for (std::uint32_t job = 0; job < 20'000; ++job) {
    const std::uint32_t count = 2 + job % 9;
    std::atomic<std::uint32_t> tasks{0};
    (*pool)->run(count, [&](std::uint32_t task, std::uint32_t worker) {
      sums[worker * 16] += job % 13 + task;
      tasks.fetch_or(1u << task);
    });
    BOOST_REQUIRE(tasks.load() == (1u << count) - 1);
    for (std::uint32_t task = 0; task < count; ++task) expected += job % 13 + task;
  }
  std::uint64_t sum = 0;
  for (std::uint32_t worker = 0; worker < 7; ++worker) sum += sums[worker * 16];
  BOOST_TEST(sum == expected);
}

BOOST_AUTO_TEST_CASE(a_pool_whose_helpers_are_parked_or_that_was_never_used_ends) {
  for (int i = 0; i < 50; ++i) {
    auto unused = ThreadPool::create(3), used = ThreadPool::create(3);
    BOOST_REQUIRE(unused && used);
    std::atomic<int> runs{0};
    (*used)->run(2, [&](std::uint32_t, std::uint32_t) { runs.fetch_add(1); });
    BOOST_TEST(runs.load() == 2);
  }
}

BOOST_AUTO_TEST_CASE(the_mode_of_the_calling_thread_comes_back) {
  const unsigned before = _mm_getcsr() & ~0x3fu;
  auto pool = ThreadPool::create(2);
  BOOST_REQUIRE(pool);
  (*pool)->run(100, [](std::uint32_t, std::uint32_t) {});
  BOOST_TEST((_mm_getcsr() & ~0x3fu) == before);
}

BOOST_AUTO_TEST_CASE(thread_counts_out_of_range_are_refused) {
  BOOST_TEST(!ThreadPool::create(0));
  BOOST_TEST(!ThreadPool::create(limits::threads_max + 1));
  BOOST_TEST(usable_cores() >= 1u);
}
