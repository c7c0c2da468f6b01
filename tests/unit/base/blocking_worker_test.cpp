#include "runtime/base/blocking_worker.hpp"

#include <atomic>
#include <future>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

BOOST_AUTO_TEST_SUITE(blocking_worker)

BOOST_AUTO_TEST_CASE(one_thread_runs_its_tasks_in_order_and_all_of_them_before_it_ends) {
  std::vector<int> seen;
  BlockingWorker worker;
  for (int i = 0; i < 100; ++i) BOOST_TEST(worker.post([&seen, i] { seen.push_back(i); }));
  worker.stop();
  BOOST_TEST(seen.size() == 100u);
  for (int i = 0; i < 100; ++i) BOOST_TEST(seen[static_cast<std::size_t>(i)] == i);
  BOOST_TEST(!worker.post([] {}));
}

BOOST_AUTO_TEST_CASE(a_task_that_waits_does_not_hold_up_the_other_threads) {
  std::promise<void> release, arrived;
  BlockingWorker worker(2);
  auto go = release.get_future();
  BOOST_TEST(worker.post([&] { go.wait(); }));
  BOOST_TEST(worker.post([&] { arrived.set_value(); }));
  arrived.get_future().wait();
  release.set_value();
}

BOOST_AUTO_TEST_CASE(no_more_tasks_wait_than_are_allowed) {
  std::promise<void> release, begun;
  BlockingWorker worker(1, 2);
  auto go = release.get_future().share();
  std::atomic<int> ran = 0;
  worker.post([&begun, go] {
    begun.set_value();
    go.wait();
  });
  begun.get_future().wait();
  BOOST_TEST(worker.post([&] { ++ran; }));
  BOOST_TEST(worker.post([&] { ++ran; }));
  BOOST_TEST(!worker.post([&] { ++ran; }));
  release.set_value();
  worker.stop();
  BOOST_TEST(ran == 2);
}

BOOST_AUTO_TEST_SUITE_END()
