#include "cluster/rpc/reply.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "tests/unit/rpc/rpc_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(reply)

BOOST_AUTO_TEST_CASE(a_reply_that_is_destroyed_answers_unavailable) {
  Answer<int> answer;
  { Reply<int> reply = answer.reply(); }
  const auto result = answer.wait();
  BOOST_REQUIRE(!result);
  BOOST_TEST((result.error().code == ErrorCode::unavailable));
}

BOOST_AUTO_TEST_CASE(a_reply_answers_once_and_moves) {
  int answers = 0, value = 0;
  {
    Reply<int> first = [&](const Result<int>& result) {
      ++answers;
      value = result ? *result : -1;
    };
    BOOST_TEST(static_cast<bool>(first));
    Reply<int> second = std::move(first);
    BOOST_TEST(!static_cast<bool>(first));
    second(5);
    BOOST_TEST(!static_cast<bool>(second));
  }
  BOOST_TEST(answers == 1);
  BOOST_TEST(value == 5);
}

BOOST_AUTO_TEST_CASE(assigning_over_an_open_reply_answers_it) {
  Answer<int> lost, kept;
  Reply<int> reply = lost.reply();
  reply = kept.reply();
  BOOST_TEST(!lost.wait());
  reply(1);
  BOOST_TEST(*kept.wait() == 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(rpc_thread)

BOOST_AUTO_TEST_CASE(tasks_run_in_order_on_one_thread) {
  auto thread = std::move(*RpcThread::start());
  constexpr int tasks = 10'000;
  std::vector<int> seen;
  Answer<int> done;
  for (int i = 0; i < tasks; ++i) {
    BOOST_REQUIRE(thread->post([&seen, i] { seen.push_back(i); }));
  }
  auto reply = std::make_shared<Reply<int>>(done.reply());
  BOOST_REQUIRE(thread->post([&, reply] { (*reply)(thread->is_current() ? 1 : 0); }));
  BOOST_TEST(*done.wait() == 1);
  BOOST_TEST(!thread->is_current());
  BOOST_REQUIRE(seen.size() == static_cast<std::size_t>(tasks));
  BOOST_TEST(std::is_sorted(seen.begin(), seen.end()));
}

BOOST_AUTO_TEST_CASE(a_full_queue_refuses) {
  auto thread = std::move(*RpcThread::start());
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  Answer<int> entered;
  auto reply = std::make_shared<Reply<int>>(entered.reply());
  BOOST_REQUIRE(thread->post([reply, released] {
    (*reply)(1);
    released.wait();
  }));
  BOOST_REQUIRE(succeeded(entered.wait()));
  std::size_t accepted = 0;
  while (accepted <= rpc_tasks_max && thread->post([] {})) ++accepted;
  BOOST_TEST(accepted == rpc_tasks_max);
  release.set_value();
}

BOOST_AUTO_TEST_CASE(stopping_runs_what_waits_and_refuses_the_rest) {
  auto thread = std::move(*RpcThread::start());
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) BOOST_REQUIRE(thread->post([&] { ++ran; }));
  thread->stop();
  thread->stop();
  BOOST_TEST(ran == 100);
  BOOST_TEST(!thread->post([&] { ++ran; }));
  BOOST_TEST(ran == 100);
}

BOOST_AUTO_TEST_CASE(many_threads_post_without_losing_a_task) {
  auto thread = std::move(*RpcThread::start());
  std::atomic<int> ran{0};
  std::vector<std::thread> posters;
  for (int i = 0; i < 4; ++i) {
    posters.emplace_back([&] {
      for (int task = 0; task < 2000; ++task) {
        while (!thread->post([&] { ++ran; })) std::this_thread::yield();
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  thread->stop();
  BOOST_TEST(ran == 8000);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
