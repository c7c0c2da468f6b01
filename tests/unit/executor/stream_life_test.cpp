// Streams that are cancelled, left alone, or share their nodes with another replica.
#include <boost/test/unit_test.hpp>

#include "tests/unit/executor/executor_fixture.hpp"

namespace tessera::test {

namespace {

struct Small {
  explicit Small(ExecutorLimits limits = {})
      : checkpoint(make_checkpoint(folder, awkward_shape(), DType::q8)), cluster(checkpoint, WaitMode::block, limits) {}
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;
  TestCluster cluster;
};

bool some_tokens(const StreamRecord& one) { return one.tokens.size() >= 3 || one.ended(); }
bool has_ended(const StreamRecord& one) { return one.ended(); }

}  // namespace

BOOST_AUTO_TEST_SUITE(stream_life)

BOOST_FIXTURE_TEST_CASE(a_cancelled_stream_frees_its_pages_and_leaves_the_others_alone, Small) {
  const EpochPlan plan = cluster.plan({{{1}, {2}}});
  BOOST_REQUIRE(cluster.start(plan));
  const StreamRequest cancelled = make_request(1, 40, 200, 1100), other = make_request(2, 8, 30, 1100);
  BOOST_REQUIRE(cluster.submit(plan, cancelled));
  BOOST_REQUIRE(cluster.submit(plan, other));
  BOOST_REQUIRE(cluster.frontends().wait({cancelled.id}, some_tokens));
  cluster.root(plan).executor->cancel(cancelled.id);
  cluster.root(plan).executor->cancel({1, 2});
  BOOST_REQUIRE(cluster.frontends().wait({other.id}, has_ended));
  BOOST_TEST(same(cluster.frontends().record(other.id), undisturbed(checkpoint, other)));
  BOOST_TEST(!cluster.frontends().record(cancelled.id).ended());
  BOOST_TEST(cluster.root(plan).executor->load().pages_used == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_stream_is_told_where_its_time_went, Small) {
  const EpochPlan plan = cluster.plan({{{1}}});
  BOOST_REQUIRE(cluster.start(plan));
  const StreamRequest request = make_request(1, 40, 10, 1100);
  const TimePoint before = cluster.node_clock().now();
  BOOST_REQUIRE(cluster.submit(plan, request));
  BOOST_REQUIRE(cluster.frontends().wait({request.id}, has_ended));
  const double elapsed = seconds_between(before, cluster.node_clock().now());
  const auto phases = cluster.frontends().record(request.id).phases;
  BOOST_REQUIRE(phases.has_value());
  BOOST_TEST(phases->queue_seconds >= 0);
  BOOST_TEST(phases->prefill_seconds > 0);
  BOOST_TEST(phases->decode_seconds > 0);
  BOOST_TEST(phases->queue_seconds + phases->prefill_seconds + phases->decode_seconds <= elapsed);
  BOOST_TEST(phases->steps == 10u);  // the prompt fits in one
  const ExecutorLoad load = cluster.root(plan).executor->load();
  BOOST_TEST(load.step_rows.steps[0] == 9u);
  BOOST_TEST(load.step_rows.steps[6] == 1u);  // of up to 64 rows
  BOOST_TEST(load.step_rows.rows == 49u);
  BOOST_TEST(load.kv_bytes > 0u);
  BOOST_TEST(load.kv_bytes % cluster.kv_pages == 0u);
}

BOOST_FIXTURE_TEST_CASE(preemptions_are_counted_and_delay_a_stream_only, Small) {
  cluster.kv_pages = 5;  // each wants four in the end
  const EpochPlan plan = cluster.plan({{{1}}});
  BOOST_REQUIRE(cluster.start(plan));
  // So many that they meet, however soon the first one is done.
  std::vector<StreamRequest> requests;
  for (std::uint32_t id = 1; id <= 8; ++id) requests.push_back(make_request(id, 19 + id, 80, 1100));
  for (const StreamRequest& request : requests) BOOST_REQUIRE(cluster.submit(plan, request));
  BOOST_REQUIRE(cluster.frontends().wait(ids_of(requests), has_ended));
  for (const StreamRequest& request : requests)
    BOOST_TEST(same(cluster.frontends().record(request.id), undisturbed(checkpoint, request)));
  BOOST_TEST(cluster.root(plan).executor->load().preempted > 0u);
}

BOOST_FIXTURE_TEST_CASE(a_detached_stream_waits_for_its_frontend_and_goes_on_behind_what_it_has, Small) {
  const EpochPlan plan = cluster.plan({{{1}}});
  BOOST_REQUIRE(cluster.start(plan));
  StreamRequest request = make_request(1, 40, 60, 1100);
  BOOST_REQUIRE(cluster.submit(plan, request));
  BOOST_REQUIRE(cluster.frontends().wait({request.id}, some_tokens));
  ReplicaExecutor& executor = *cluster.root(plan).executor;
  executor.detach(request.id);
  // Another frontend, which has only the first two tokens.
  request.delivered = cluster.frontends().record(request.id).tokens;
  request.delivered.resize(2);
  BOOST_REQUIRE(executor.submit(request));
  BOOST_REQUIRE(cluster.frontends().wait({request.id}, has_ended));
  BOOST_TEST(same(cluster.frontends().record(request.id), undisturbed(checkpoint, make_request(1, 40, 60, 1100))));
}

BOOST_AUTO_TEST_CASE(a_stream_that_is_detached_for_too_long_is_dropped) {
  ExecutorLimits limits;
  limits.detached_seconds_max = 0.02;
  Small small(limits);
  TestCluster& cluster = small.cluster;
  const EpochPlan plan = cluster.plan({{{1}}});
  BOOST_REQUIRE(cluster.start(plan));
  const StreamRequest left = make_request(1, 40, 200, 1100);
  BOOST_REQUIRE(cluster.submit(plan, left));
  BOOST_REQUIRE(cluster.frontends().wait({left.id}, some_tokens));
  cluster.root(plan).executor->detach(left.id);
  // The executor drops it by itself, once its time has passed; other streams are what passes it.
  for (std::uint32_t other = 2; other < 500 && cluster.root(plan).executor->load().pages_used != 0; ++other) {
    const StreamRequest request = make_request(other, 8, 200, 1100);
    BOOST_REQUIRE(cluster.submit(plan, request));
    BOOST_REQUIRE(cluster.frontends().wait({request.id}, has_ended));
  }
  BOOST_TEST(cluster.root(plan).executor->load().pages_used == 0u);
}

BOOST_AUTO_TEST_CASE(a_stream_that_waits_too_long_to_be_admitted_fails_and_says_why) {
  ExecutorLimits limits;
  limits.waiting_seconds_max = 0.5;
  Small small(limits);
  TestCluster& cluster = small.cluster;
  cluster.kv_pages = 8;
  const EpochPlan plan = cluster.plan({{{1}}});
  BOOST_REQUIRE(cluster.start(plan));
  const StreamRequest runs = make_request(1, 20, 200, 1100), waits = make_request(2, 220, 20, 1100);
  BOOST_REQUIRE(cluster.submit(plan, runs));
  BOOST_REQUIRE(cluster.frontends().wait({runs.id}, some_tokens));
  // It keeps its pages while its frontend is away, so that nobody else is admitted.
  cluster.root(plan).executor->detach(runs.id);
  BOOST_REQUIRE(cluster.submit(plan, waits));
  BOOST_REQUIRE(cluster.frontends().wait({waits.id}, has_ended));
  const StreamRecord record = cluster.frontends().record(waits.id);
  BOOST_REQUIRE(record.failed);
  BOOST_TEST((record.failed->code == ErrorCode::exhausted));
  BOOST_TEST(record.failed->message.find("has waited") != std::string::npos, record.failed->message);
  BOOST_TEST(record.tokens.empty());
  // Streams that have begun are not held to it.
  BOOST_REQUIRE(cluster.resume(plan, {runs}));
  BOOST_REQUIRE(cluster.frontends().wait({runs.id}, has_ended));
  BOOST_TEST(same(cluster.frontends().record(runs.id), undisturbed(small.checkpoint, runs)));
}

BOOST_AUTO_TEST_CASE(streams_whose_time_is_over_fail_and_free_their_pages_while_others_go_on) {
  Small small;
  TestCluster& cluster = small.cluster;
  cluster.kv_pages = 8;
  const EpochPlan plan = cluster.plan({{{1}}});
  BOOST_REQUIRE(cluster.start(plan));
  StreamRequest runs = make_request(1, 20, 200, 1100), waits = make_request(2, 220, 20, 1100);
  runs.timeout = std::chrono::milliseconds(1);
  waits.timeout = std::chrono::milliseconds(80);
  BOOST_REQUIRE(cluster.submit(plan, runs));
  BOOST_REQUIRE(cluster.frontends().wait({runs.id}, has_ended));
  const StreamRecord cut = cluster.frontends().record(runs.id);
  BOOST_REQUIRE(cut.failed);
  BOOST_TEST((cut.failed->code == ErrorCode::timed_out));
  BOOST_TEST(cluster.root(plan).executor->load().pages_used == 0u);

  // One that has not ended before its frontend goes away: it keeps its pages, so that nobody else is admitted.
  ReplicaExecutor& executor = *cluster.root(plan).executor;
  StreamRequest other;
  for (std::uint32_t id = 3; executor.load().pages_used == 0; ++id) {
    BOOST_REQUIRE(id < 100);
    other = make_request(id, 20, 200, 1100);
    BOOST_REQUIRE(cluster.submit(plan, other));
    BOOST_REQUIRE(cluster.frontends().wait({other.id}, some_tokens));
    executor.detach(other.id);
  }
  BOOST_REQUIRE(cluster.submit(plan, waits));
  BOOST_REQUIRE(cluster.frontends().wait({waits.id}, has_ended));
  const StreamRecord late = cluster.frontends().record(waits.id);
  BOOST_REQUIRE(late.failed);
  BOOST_TEST((late.failed->code == ErrorCode::timed_out));
  BOOST_TEST(late.failed->message.find("after 0 tokens") != std::string::npos, late.failed->message);
  BOOST_TEST(cluster.root(plan).executor->load().streams_waiting == 0u);
  BOOST_REQUIRE(cluster.resume(plan, {other}));
  BOOST_REQUIRE(cluster.frontends().wait({other.id}, has_ended));
  BOOST_TEST(same(cluster.frontends().record(other.id), undisturbed(small.checkpoint, other)));
  BOOST_TEST(cluster.root(plan).executor->load().pages_used == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_stream_to_which_nothing_happens_gets_signs_of_life, Small) {
  const EpochPlan plan = cluster.plan({{{1}, {2}}});
  BOOST_REQUIRE(cluster.start(plan));
  cluster.kill(2);
  cluster.at(1).events.wait_broken(plan.epoch);
  const StreamRequest request = make_request(1, 4, 4, 1100);
  BOOST_REQUIRE(cluster.submit(plan, request));
  BOOST_TEST(cluster.frontends().wait({request.id}, [](const StreamRecord& one) { return one.signs_of_life > 1; }));
}

BOOST_FIXTURE_TEST_CASE(two_replicas_on_the_same_nodes_take_turns_under_skewed_load, Small) {
  cluster.lease_nodes = {NodeId{1}};
  const ReplicaId second{2};
  // Their roots are on different nodes; the first one's root keeps the lease, the second one asks it over the network.
  const EpochPlan a = cluster.plan({{{1}, {2}}}), b = cluster.plan({{{2}, {1}}}, nullptr, second);
  BOOST_REQUIRE(cluster.start(a));
  BOOST_REQUIRE(cluster.start(b));
  std::vector<StreamRequest> requests;
  for (std::uint64_t i = 0; i < 8; ++i) {
    requests.push_back(make_request(i, 10, i < 7 ? 20 : 60, 1100));
    BOOST_REQUIRE(cluster.submit(i < 7 ? a : b, requests.back()));
  }
  BOOST_REQUIRE(cluster.frontends().wait(ids_of(requests), has_ended));
  for (const StreamRequest& request : requests)
    BOOST_TEST(same(cluster.frontends().record(request.id), undisturbed(checkpoint, request)));
}

BOOST_FIXTURE_TEST_CASE(a_replica_that_dies_with_the_lease_does_not_stop_the_other, Small) {
  cluster.lease_nodes = {NodeId{1}};
  const ReplicaId second{2};
  const EpochPlan a = cluster.plan({{{2}, {1}}}), b = cluster.plan({{{3}, {1}}}, nullptr, second);
  BOOST_REQUIRE(cluster.start(a));
  BOOST_REQUIRE(cluster.start(b));
  const StreamRequest dies = make_request(1, 10, 200, 1100), lives = make_request(2, 10, 200, 1100);
  BOOST_REQUIRE(cluster.submit(a, dies));
  BOOST_REQUIRE(cluster.submit(b, lives));
  BOOST_REQUIRE(cluster.frontends().wait({dies.id, lives.id}, some_tokens));
  cluster.kill(2);
  cluster.at(1).events.wait_broken(a.epoch);
  BOOST_REQUIRE(cluster.frontends().wait({lives.id}, has_ended));
  BOOST_TEST(same(cluster.frontends().record(lives.id), undisturbed(checkpoint, lives)));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
