// Streams that begin alike compute their beginning once, on real shards: the bits are those of each stream alone,
// through batches, hand-overs and losses.
#include <boost/test/unit_test.hpp>

#include "tests/unit/executor/executor_fixture.hpp"

namespace tessera::test {

namespace {

constexpr std::uint32_t shared_tokens = 100;  // three pages and a bit
constexpr std::uint32_t vocab_size = 1100;

bool has_ended(const StreamRecord& one) { return one.ended(); }

struct Alike {
  explicit Alike(DType dtype, std::uint32_t tokens_max = 20)
      : checkpoint(make_checkpoint(folder, awkward_shape(), dtype)), cluster(checkpoint) {
    const std::vector<TokenId> shared = random_tokens(shared_tokens, vocab_size, 42);
    for (std::uint64_t i = 0; i < 5; ++i) {
      StreamRequest request = make_request(i, 4 + static_cast<std::uint32_t>(i), tokens_max, vocab_size);
      // The last two are choices of one request.
      if (i == 4) request.prompt = requests[3].prompt;
      if (i < 4) request.prompt.insert(request.prompt.begin(), shared.begin(), shared.end());
      requests.push_back(request);
      expected.push_back(undisturbed(checkpoint, request));
    }
  }
  void submit(const EpochPlan& plan, std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; ++i) BOOST_REQUIRE(cluster.submit(plan, requests[i]));
  }
  void wait_tokens(std::size_t count) {
    BOOST_REQUIRE(cluster.frontends().wait(
        ids_of(requests), [&](const StreamRecord& one) { return one.tokens.size() >= count || one.ended(); }));
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

BOOST_AUTO_TEST_SUITE(prefixes)

BOOST_AUTO_TEST_CASE(streams_that_begin_alike_give_the_bits_of_each_alone_and_compute_the_beginning_once) {
  for (const DType dtype : {DType::f32, DType::q8}) {
    for (const Stages& stages : {Stages{{{1}}}, Stages{{{1}, {2}, {3}}}, Stages{{{1}, {2}}, {{3}}}}) {
      Alike alike(dtype);
      const EpochPlan plan = alike.cluster.plan(stages);
      BOOST_REQUIRE(alike.cluster.start(plan));
      alike.submit(plan, 0, 1);
      BOOST_REQUIRE(alike.cluster.frontends().wait({alike.requests[0].id}, has_ended));
      BOOST_TEST(alike.load(plan).prefix_tokens_hit == 0u);
      BOOST_TEST(alike.load(plan).pages_cached >= shared_tokens / kv_page_positions);
      alike.submit(plan, 1, 5);
      alike.check_end();
      const ExecutorLoad load = alike.load(plan);
      BOOST_TEST(load.prefix_tokens_hit >= 4 * (shared_tokens / kv_page_positions) * kv_page_positions);
      BOOST_TEST(load.prefix_tokens_queried >= 5 * shared_tokens);
      for (std::size_t i = 0; i < 5; ++i) {
        const std::uint32_t cached = i == 0 ? 0 : shared_tokens / kv_page_positions * kv_page_positions;
        BOOST_TEST(alike.cluster.frontends().record(alike.requests[i].id).cached_tokens == cached);
      }
      BOOST_TEST(load.pages_used == 0u);
      BOOST_TEST(alike.cluster.root(plan).events.rows() < shared_tokens + 5 * (20 + 12));
    }
  }
}

BOOST_AUTO_TEST_CASE(shared_pages_go_over_to_the_next_epoch_also_to_another_conductor) {
  for (const Stages& next : {Stages{{{1}, {2}, {3}}}, Stages{{{3}, {2}}}, Stages{{{4}}, {{1}, {2}}}}) {
    Alike alike(DType::q8, 120);
    const EpochPlan before = alike.cluster.plan({{{1}, {2}}});
    BOOST_REQUIRE(alike.cluster.start(before));
    alike.submit(before, 0, 5);
    alike.wait_tokens(4);
    const std::uint64_t hit = alike.load(before).prefix_tokens_hit;
    BOOST_TEST(hit > 0u);
    const EpochPlan after = alike.cluster.plan(next, &before);
    const Result<void> replaced = alike.cluster.replace(before, after);
    BOOST_REQUIRE_MESSAGE(replaced, replaced.error().message);
    const bool stays = &alike.cluster.root(before) == &alike.cluster.root(after);
    if (stays) {
      BOOST_TEST(alike.load(after).prefix_tokens_hit >= hit);  // counts only rise
    } else {
      BOOST_REQUIRE(alike.cluster.frontends().wait(ids_of(alike.requests),
                                                   [](const StreamRecord& one) { return one.moved || one.ended(); }));
      BOOST_REQUIRE(alike.cluster.resume(after, alike.requests));
    }
    alike.check_end();
    // Nothing was computed twice; rows of an executor count those of its former epochs.
    BOOST_TEST(alike.cluster.root(after).events.rows() < shared_tokens + 5 * (120 + 12));
  }
}

BOOST_AUTO_TEST_CASE(streams_that_take_each_others_pages_away_give_the_bits_of_each_alone) {
  Alike alike(DType::q8, 120);
  alike.cluster.kv_pages = 14;  // all together they come to 28
  const EpochPlan plan = alike.cluster.plan({{{1}, {2}}});
  BOOST_REQUIRE(alike.cluster.start(plan));
  alike.submit(plan, 0, 5);
  alike.wait_tokens(1);
  alike.check_end();
  BOOST_TEST(alike.load(plan).pages_used == 0u);
}

BOOST_AUTO_TEST_CASE(after_a_loss_the_beginning_is_replayed_once) {
  Alike alike(DType::f32, 60);
  const EpochPlan before = alike.cluster.plan({{{1}, {2}, {3}}});
  BOOST_REQUIRE(alike.cluster.start(before));
  alike.submit(before, 0, 5);
  alike.wait_tokens(4);
  alike.cluster.kill(3);
  alike.cluster.at(1).events.wait_broken(before.epoch);
  BOOST_TEST(alike.load(before).pages_cached == 0u);
  const std::uint32_t rows = alike.cluster.root(before).events.rows();
  const EpochPlan after = alike.cluster.plan({{{1}, {2}}});
  BOOST_REQUIRE(alike.cluster.start(after));
  alike.check_end();
  BOOST_TEST(alike.cluster.root(after).events.rows() - rows < shared_tokens + 5 * (60 + 12));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
