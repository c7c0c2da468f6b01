// Drafts on real shards: every stream has the bits that generate() gives it, which knows no drafts.
#include <boost/test/unit_test.hpp>

#include "tests/unit/executor/executor_fixture.hpp"

namespace tessera::test {

namespace {

constexpr std::uint32_t tokens_max = 90;

bool has_ended(const StreamRecord& one) { return one.ended(); }

/// Greedy streams fall into circles; those that sample are pushed towards a few tokens, with every penalty on.
struct Repetitive {
  explicit Repetitive(DType dtype) : checkpoint(make_checkpoint(folder, awkward_shape(), dtype)), cluster(checkpoint) {
    const std::uint32_t vocab_size = checkpoint->manifest().shape.vocab_size;
    for (std::uint64_t i = 0; i < 6; ++i) {
      StreamRequest request = make_request(i, 20 + static_cast<std::uint32_t>(i) * 7, tokens_max, vocab_size);
      if (i < 2) {
        const std::uint64_t seed = request.sampling.seed;
        request.sampling = {};
        request.sampling.seed = seed;
      } else {
        for (TokenId token = 0; token < static_cast<TokenId>(i); ++token)
          request.sampling.logit_bias.emplace_back(token * 31 + 5, 30.0f);
      }
      request.alternatives = static_cast<std::uint32_t>(i % 3);
      request.score_prompt = i == 3;
      requests.push_back(request);
      expected.push_back(undisturbed(checkpoint, request));
    }
  }
  void submit(const EpochPlan& plan) {
    for (const StreamRequest& request : requests) BOOST_REQUIRE(cluster.submit(plan, request));
  }
  void check_end() {
    BOOST_REQUIRE(cluster.frontends().wait(ids_of(requests), has_ended));
    for (std::size_t i = 0; i < requests.size(); ++i)
      BOOST_TEST(same(cluster.frontends().record(requests[i].id), expected[i]), "stream " << i);
  }
  ExecutorLoad load(const EpochPlan& plan) { return cluster.root(plan).executor->load(); }

  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;
  TestCluster cluster;
  std::vector<StreamRequest> requests;
  std::vector<StreamRecord> expected;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(speculation)

BOOST_AUTO_TEST_CASE(streams_with_drafts_have_the_bits_of_streams_without) {
  for (const DType dtype : {DType::f32, DType::q8}) {
    for (const Stages& stages : {Stages{{{1}}}, Stages{{{1}, {2}}, {{3}}}}) {
      Repetitive streams(dtype);
      const EpochPlan plan = streams.cluster.plan(stages);
      BOOST_REQUIRE(streams.cluster.start(plan));
      streams.submit(plan);
      streams.check_end();
      const ExecutorLoad load = streams.load(plan);
      BOOST_TEST_MESSAGE(load.draft_tokens << " drafted, " << load.draft_tokens_accepted << " accepted");
      BOOST_TEST(load.draft_tokens_accepted > 0u);
      BOOST_TEST(load.draft_tokens >= load.draft_tokens_accepted);
      BOOST_TEST(load.pages_used == 0u);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_deployment_without_speculation_has_no_drafts) {
  Repetitive streams(DType::q8);
  EpochPlan plan = streams.cluster.plan({{{1}, {2}}});
  plan.speculation = Speculation::off;
  BOOST_REQUIRE(streams.cluster.start(plan));
  streams.submit(plan);
  streams.check_end();
  BOOST_TEST(streams.load(plan).draft_tokens == 0u);
}

BOOST_AUTO_TEST_CASE(streams_with_drafts_go_over_to_the_next_epoch) {
  Repetitive streams(DType::q8);
  const EpochPlan before = streams.cluster.plan({{{1}, {2}}});
  BOOST_REQUIRE(streams.cluster.start(before));
  streams.submit(before);
  BOOST_REQUIRE(streams.cluster.frontends().wait(
      ids_of(streams.requests), [](const StreamRecord& one) { return one.tokens.size() >= 30 || one.ended(); }));
  const std::uint64_t drafted = streams.load(before).draft_tokens;
  BOOST_TEST(drafted > 0u);
  const EpochPlan after = streams.cluster.plan({{{1}, {2}, {3}}}, &before);
  const Result<void> replaced = streams.cluster.replace(before, after);
  BOOST_REQUIRE_MESSAGE(replaced, replaced.error().message);
  streams.check_end();
  BOOST_TEST(streams.load(after).draft_tokens >= drafted);  // counts only rise
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
