// Calls that are refused, late, too many or too large, and ends that stop with calls in flight.
#include <atomic>

#include "cluster/rpc/rpc_limits.hpp"
#include "tests/unit/rpc/rpc_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

BOOST_FIXTURE_TEST_SUITE(calls, RpcFixture)

BOOST_AUTO_TEST_CASE(a_role_that_a_method_does_not_let_in_is_denied_and_the_handler_not_called) {
  FakeNode node;
  const CoordinatorClient user = connect(Role::user, "bob");
  const auto denied = [](const auto& result) { return code_of(result) == ErrorCode::denied; };
  BOOST_TEST(denied(ask<Registration>(
      [&](auto reply) { user.register_node(some_node("bob"), {}, node, long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<void>([&](auto reply) { user.heartbeat({}, long_deadline, std::move(reply)); })));
  BOOST_TEST(
      denied(ask<void>([&](auto reply) { user.epoch_activated({1}, {1}, {1}, long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<void>([&](auto reply) { user.epoch_broken({1}, {1}, "", long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<void>([&](auto reply) { user.copy_damaged({1}, {1}, "", long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<void>([&](auto reply) { user.report_metrics({}, long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<DeploymentStatus>([&](auto reply) {
    user.deploy({"s", "u", 0, 0, 0, {}, ""}, long_deadline, nullptr, std::move(reply));
  })));
  BOOST_TEST(denied(ask<void>([&](auto reply) { user.undeploy("s", long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<void>([&](auto reply) { user.drain("w", long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<void>([&](auto reply) { user.stop_node("w", long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<std::string>([&](auto reply) {
    user.create_token({Role::operator_, ""}, std::chrono::seconds(1), long_deadline, std::move(reply));
  })));
  BOOST_TEST(
      denied(ask<std::vector<LogLine>>([&](auto reply) { user.read_log({}, long_deadline, std::move(reply)); })));

  const CoordinatorClient worker = connect(Role::worker, "w1");
  BOOST_TEST(denied(ask<void>([&](auto reply) { worker.drain("w", long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(ask<JobRecord>([&](auto reply) {
    worker.submit_job({JobKind::generate, "", "", "", "", ""}, long_deadline, std::move(reply));
  })));
  BOOST_TEST(denied(ask<JobRecord>([&](auto reply) { worker.cancel_job({1}, long_deadline, std::move(reply)); })));
  BOOST_TEST(denied(
      ask<JobRecord>([&](auto reply) { worker.watch_job({1}, true, long_deadline, nullptr, std::move(reply)); })));
  BOOST_TEST(server->counters().denied_calls == 16u);
  BOOST_TEST(coordinator.called.empty());
  BOOST_TEST(coordinator.registered.empty());
}

BOOST_AUTO_TEST_CASE(a_call_that_is_not_answered_ends_at_its_deadline) {
  Inbox<std::shared_ptr<Reply<ClusterStatus>>> owed;
  coordinator.on_status = [&](const Caller&, Reply<ClusterStatus> reply) {
    owed.put(std::make_shared<Reply<ClusterStatus>>(std::move(reply)));
  };
  const CoordinatorClient client = connect(Role::user, "alice");
  const auto late =
      ask<ClusterStatus>([&](auto reply) { client.status(std::chrono::milliseconds(50), std::move(reply)); });
  BOOST_TEST((code_of(late) == ErrorCode::timed_out));
  // The server had it, so it was not given up at once. The late answer goes nowhere, and the connection goes on.
  (*owed.take())(ClusterStatus());
  BOOST_TEST(succeeded(
      ask<std::vector<ConductorLocation>>([&](auto reply) { client.locate("s", long_deadline, std::move(reply)); })));
}

BOOST_AUTO_TEST_CASE(a_handler_that_drops_its_reply_answers_unavailable) {
  coordinator.on_status = [](const Caller&, Reply<ClusterStatus>) {};
  const CoordinatorClient client = connect(Role::user, "alice");
  BOOST_TEST((code_of(ask<ClusterStatus>([&](auto reply) { client.status(long_deadline, std::move(reply)); })) ==
              ErrorCode::unavailable));
}

BOOST_AUTO_TEST_CASE(a_server_that_stops_ends_open_calls_and_its_handlers_hear_nothing) {
  Inbox<std::shared_ptr<Reply<ClusterStatus>>> owed;
  coordinator.on_status = [&](const Caller&, Reply<ClusterStatus> reply) {
    owed.put(std::make_shared<Reply<ClusterStatus>>(std::move(reply)));
  };
  const CoordinatorClient client = connect(Role::user, "alice");
  Answer<ClusterStatus> answer;
  client.status(long_deadline, answer.reply());
  const auto reply = owed.take();
  server_thread->stop();
  BOOST_TEST((code_of(answer.wait()) == ErrorCode::unavailable));
  BOOST_TEST((lost.take().code == ErrorCode::unavailable));
  BOOST_TEST(coordinator.disconnected.empty());
  (*reply)(ClusterStatus());  // nobody waits; nothing happens
  BOOST_TEST((code_of(ask<ClusterStatus>([&](auto r) { client.status(long_deadline, std::move(r)); })) ==
              ErrorCode::unavailable));
}

BOOST_AUTO_TEST_CASE(a_client_that_stops_with_calls_in_flight_answers_all_of_them) {
  std::vector<Reply<ClusterStatus>> owed;
  coordinator.on_status = [&](const Caller&, Reply<ClusterStatus> reply) { owed.push_back(std::move(reply)); };
  const CoordinatorClient client = connect(Role::user, "alice");
  BOOST_REQUIRE(succeeded(
      ask<std::vector<ConductorLocation>>([&](auto reply) { client.locate("s", long_deadline, std::move(reply)); })));
  std::atomic<int> answers{0};
  for (int i = 0; i < 50; ++i) {
    client.status(long_deadline, [&](const Result<ClusterStatus>& result) {
      if (code_of(result) == ErrorCode::unavailable) ++answers;
    });
  }
  client_thread->stop();
  BOOST_TEST(answers == 50);
  BOOST_TEST((coordinator.disconnected.take().identity == Identity{Role::user, "alice"}));
}

BOOST_AUTO_TEST_CASE(a_thousand_calls_at_once_are_all_answered) {
  Inbox<std::shared_ptr<Reply<ClusterStatus>>> owed;
  coordinator.on_status = [&](const Caller&, Reply<ClusterStatus> reply) {
    owed.put(std::make_shared<Reply<ClusterStatus>>(std::move(reply)));
  };
  const CoordinatorClient client = connect(Role::user, "alice");
  constexpr int calls = 1000;
  Inbox<bool> answers;
  for (int i = 0; i < calls; ++i) {
    client.status(long_deadline, [&](const Result<ClusterStatus>& result) { answers.put(static_cast<bool>(result)); });
  }
  std::vector<std::shared_ptr<Reply<ClusterStatus>>> all;
  for (int i = 0; i < calls; ++i) all.push_back(owed.take());
  // Answered by a thread that is not the server's, last one first.
  for (auto reply = all.rbegin(); reply != all.rend(); ++reply) (**reply)(ClusterStatus());
  int good = 0;
  for (int i = 0; i < calls; ++i) good += answers.take() ? 1 : 0;
  BOOST_TEST(good == calls);
}

BOOST_AUTO_TEST_CASE(more_calls_than_one_connection_may_have_are_refused) {
  std::vector<Reply<ClusterStatus>> owed;
  coordinator.on_status = [&](const Caller&, Reply<ClusterStatus> reply) { owed.push_back(std::move(reply)); };
  const CoordinatorClient client = connect(Role::user, "alice");
  for (std::uint32_t i = 0; i < rpc_limits::calls_in_flight_max; ++i) client.status(long_deadline, {});
  const auto refused = ask<ClusterStatus>([&](auto reply) { client.status(long_deadline, std::move(reply)); });
  BOOST_TEST((code_of(refused) == ErrorCode::exhausted));
  // Others are not affected.
  const CoordinatorClient other = connect(Role::user, "bob");
  BOOST_TEST(succeeded(
      ask<std::vector<ConductorLocation>>([&](auto reply) { other.locate("s", long_deadline, std::move(reply)); })));
}

BOOST_AUTO_TEST_CASE(a_request_that_is_too_large_is_refused_here_and_the_connection_lives) {
  const CoordinatorClient client = connect(Role::user, "alice");
  const std::string huge(rpc_limits::message_bytes_max + 1, 'x');
  const auto refused = ask<JobRecord>([&](auto reply) {
    client.submit_job({JobKind::generate, "s", "", huge, "", ""}, long_deadline, std::move(reply));
  });
  BOOST_TEST(!refused);
  BOOST_TEST(succeeded(
      ask<std::vector<ConductorLocation>>([&](auto reply) { client.locate("s", long_deadline, std::move(reply)); })));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
