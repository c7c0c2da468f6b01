// Members join, leave and die while streams run; the streams end with the bits of an undisturbed run.
#include <algorithm>

#include <boost/test/unit_test.hpp>

#include "tests/unit/executor/executor_fixture.hpp"

namespace tessera::test {

namespace {

constexpr std::uint32_t tokens_max = 120;

/// A model and four requests with what they give undisturbed; made once per data type.
struct Undisturbed {
  explicit Undisturbed(DType dtype) : checkpoint(make_checkpoint(folder, awkward_shape(), dtype)) {
    for (std::uint64_t i = 0; i < 4; ++i) {
      requests.push_back(make_request(i, 5 + static_cast<std::uint32_t>(i) * 30, tokens_max, 1100));
      requests.back().score_prompt = i == 1;
      requests.back().alternatives = i < 3 ? static_cast<std::uint32_t>(i) : 0;
      expected.push_back(undisturbed(checkpoint, requests.back()));
    }
  }
  static const Undisturbed& of(DType dtype) {
    static const Undisturbed f32(DType::f32), q8(DType::q8);
    return dtype == DType::f32 ? f32 : q8;
  }
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;
  std::vector<StreamRequest> requests;
  std::vector<StreamRecord> expected;
};

/// Those streams in the middle of their work.
struct RunningStreams {
  explicit RunningStreams(DType dtype = DType::q8)
      : checkpoint(Undisturbed::of(dtype).checkpoint),
        cluster(checkpoint),
        requests(Undisturbed::of(dtype).requests),
        expected(Undisturbed::of(dtype).expected) {}
  EpochPlan start(const Stages& stages) {
    const EpochPlan plan = cluster.plan(stages);
    const Result<void> started = cluster.start(plan);
    BOOST_REQUIRE_MESSAGE(started, started.error().message);
    for (const StreamRequest& request : requests) BOOST_REQUIRE(cluster.submit(plan, request));
    wait_for(5);
    return plan;
  }
  /// More tokens of every stream than `count`.
  void wait_for(std::size_t count) {
    BOOST_REQUIRE(cluster.frontends().wait(
        ids_of(requests), [&](const StreamRecord& one) { return one.tokens.size() > count || one.ended(); }));
  }
  /// How many tokens the stream that is furthest has.
  std::size_t furthest() {
    std::size_t most = 0;
    for (const StreamRequest& request : requests)
      most = std::max(most, cluster.frontends().record(request.id).tokens.size());
    return most;
  }
  void wait_moved() {
    BOOST_REQUIRE(
        cluster.frontends().wait(ids_of(requests), [](const StreamRecord& one) { return one.moved || one.ended(); }));
  }
  EpochPlan replace(const EpochPlan& from, const Stages& stages) {
    const EpochPlan to = cluster.plan(stages, &from);
    const Result<void> replaced = cluster.replace(from, to);
    BOOST_REQUIRE_MESSAGE(replaced, replaced.error().message);
    BOOST_TEST(!cluster.root(to).events.is_broken(from.epoch));
    return to;
  }
  void check_end() {
    BOOST_REQUIRE(cluster.frontends().wait(ids_of(requests), [](const StreamRecord& one) { return one.ended(); }));
    for (std::size_t i = 0; i < requests.size(); ++i)
      BOOST_TEST(same(cluster.frontends().record(requests[i].id), expected[i]), "stream " << i);
  }
  std::uint32_t moves() {
    std::uint32_t sum = 0;
    for (const StreamRequest& request : requests) sum += cluster.frontends().record(request.id).moves;
    return sum;
  }

  std::shared_ptr<const Checkpoint> checkpoint;
  TestCluster cluster;
  std::vector<StreamRequest> requests;
  std::vector<StreamRecord> expected;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(elastic)

BOOST_AUTO_TEST_CASE(a_member_joins_and_another_leaves_without_the_streams_noticing) {
  RunningStreams streams;
  const EpochPlan two = streams.start({{{1}, {2}}});
  const EpochPlan three = streams.replace(two, {{{1}, {2}, {3, 2}}});
  BOOST_TEST(streams.furthest() < tokens_max);
  streams.wait_for(12);
  const std::uint32_t rows = streams.cluster.root(three).events.rows();
  const EpochPlan left = streams.replace(three, {{{1}, {3}}});
  streams.check_end();
  BOOST_TEST(streams.moves() == 0u);
  // Pages were handed over: nothing was computed twice.
  BOOST_TEST(streams.cluster.root(left).events.rows() - rows < 4 * tokens_max);
}

BOOST_AUTO_TEST_CASE(the_conductor_moves_to_another_node_and_takes_the_streams_pages_along) {
  RunningStreams streams(DType::f32);
  const EpochPlan before = streams.start({{{1}, {2}}});
  const EpochPlan after = streams.replace(before, {{{3}, {2}}});
  streams.wait_moved();
  BOOST_TEST(!streams.cluster.root(before).executor->submit(streams.requests[0]));
  BOOST_REQUIRE(streams.cluster.resume(after, streams.requests));
  streams.check_end();
  // Only the stream whose prompt is scored was computed again; all prompts together have 200 rows.
  BOOST_TEST(streams.cluster.root(after).events.rows() < 4 * tokens_max + 60);
}

BOOST_AUTO_TEST_CASE(a_pipeline_becomes_a_tensor_parallel_stage_and_a_pipeline_again) {
  RunningStreams streams;
  const EpochPlan pipeline = streams.start({{{1}, {2}}, {{3}, {4}}});
  const EpochPlan flat = streams.replace(pipeline, {{{3}, {1}, {5}}});
  streams.wait_for(10);
  streams.replace(flat, {{{5}}, {{3}, {2}}});
  streams.check_end();
  BOOST_TEST(streams.moves() == 0u);
}

BOOST_AUTO_TEST_CASE(a_killed_member_breaks_the_epoch_and_the_next_one_goes_on) {
  RunningStreams streams;
  const EpochPlan before = streams.start({{{1}, {2}, {3}}});
  streams.cluster.kill(3);
  // Whoever sees it first leaves the epoch, so the other survivor may miss the first one instead.
  const std::string reasons = streams.cluster.at(1).events.wait_broken(before.epoch).message +
                              streams.cluster.at(2).events.wait_broken(before.epoch).message;
  BOOST_TEST(reasons.find("w3") != std::string::npos, reasons);
  const StreamRequest late = make_request(9, 6, 8, 1100);
  BOOST_REQUIRE(streams.cluster.submit(before, late));  // kept until the next epoch
  const EpochPlan after = streams.cluster.plan({{{1}, {2}}});
  BOOST_REQUIRE(streams.cluster.start(after));
  streams.cluster.retire(before);
  streams.requests.push_back(late);
  streams.expected.push_back(undisturbed(streams.checkpoint, late));
  streams.check_end();
  BOOST_TEST(streams.moves() == 0u);
  BOOST_TEST(streams.cluster.at(1).executor->held().size() == 1u);
}

BOOST_AUTO_TEST_CASE(after_the_roots_death_frontends_resume_at_another_node) {
  RunningStreams streams;
  const EpochPlan before = streams.start({{{1}, {2}, {3}}});
  streams.cluster.kill(1);
  streams.cluster.at(2).events.wait_broken(before.epoch);
  ++streams.cluster.incarnation.value;
  const EpochPlan after = streams.cluster.plan({{{3}, {2}}});
  BOOST_REQUIRE(streams.cluster.start(after));
  BOOST_REQUIRE(streams.cluster.resume(after, streams.requests));
  streams.check_end();
}

BOOST_AUTO_TEST_CASE(a_hand_over_whose_receiver_dies_is_reported_and_replayed) {
  RunningStreams streams;
  const EpochPlan before = streams.start({{{1}, {2}}});
  const EpochPlan failing = streams.cluster.plan({{{1}, {2}, {3}}}, &before);
  BOOST_REQUIRE(streams.cluster.prepare(failing));
  streams.cluster.kill(3);
  // Whether the loss is seen before the hand-over or in it, the answer is one and the streams stay.
  const Result<void> asked =
      streams.cluster.at(1).executor->hand_over(streams.cluster.term, before.epoch, failing.epoch, {1});
  if (asked) streams.cluster.at(2).events.wait_broken(failing.epoch);
  const EpochPlan after = streams.cluster.plan({{{2}, {1}}});
  ++streams.cluster.incarnation.value;
  BOOST_REQUIRE(streams.cluster.start(after));
  streams.wait_moved();
  streams.cluster.retire(before);
  BOOST_REQUIRE(streams.cluster.resume(after, streams.requests));
  streams.check_end();
}

BOOST_AUTO_TEST_CASE(a_retired_conductor_sends_its_streams_away) {
  RunningStreams streams;
  const EpochPlan only = streams.start({{{1}, {2}}});
  streams.cluster.retire(only);
  streams.wait_moved();
  const Result<void> refused = streams.cluster.at(1).executor->submit(streams.requests[0]);
  BOOST_REQUIRE(!refused);
  BOOST_TEST(int(refused.error().code) == int(ErrorCode::unavailable));
  BOOST_TEST(streams.cluster.at(1).executor->held().empty());
  BOOST_TEST(!streams.cluster.at(1).events.is_broken(only.epoch));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
