// Streams on sharded replicas: the same bits as one shard, however the model is cut and whatever runs beside them.
#include <boost/test/unit_test.hpp>

#include "tests/unit/executor/executor_fixture.hpp"

namespace tessera::test {

namespace {

std::vector<StreamRequest> eight_requests(std::uint32_t vocab_size) {
  std::vector<StreamRequest> requests;
  for (std::uint64_t i = 0; i < 8; ++i)
    requests.push_back(make_request(i, 3 + static_cast<std::uint32_t>(i) * 9, 10, vocab_size));
  requests[2].score_prompt = true;
  requests[2].alternatives = 5;
  requests[3].alternatives = 1;
  return requests;
}

struct OneModel {
  explicit OneModel(DType dtype) : checkpoint(make_checkpoint(folder, awkward_shape(), dtype)) {
    requests = eight_requests(checkpoint->manifest().shape.vocab_size);
    for (const StreamRequest& request : requests) expected.push_back(undisturbed(checkpoint, request));
  }
  void check_cut(const Stages& stages, WaitMode wait = WaitMode::block) {
    TestCluster cluster(checkpoint, wait);
    const EpochPlan plan = cluster.plan(stages);
    const Result<void> started = cluster.start(plan);
    BOOST_REQUIRE_MESSAGE(started, started.error().message);
    for (const StreamRequest& request : requests) BOOST_REQUIRE(cluster.submit(plan, request));
    BOOST_REQUIRE(cluster.frontends().wait(ids_of(requests), [](const StreamRecord& one) { return one.ended(); }));
    for (std::size_t i = 0; i < requests.size(); ++i)
      BOOST_TEST(same(cluster.frontends().record(requests[i].id), expected[i]), "stream " << i);
    // They ran beside each other, not one after the other.
    BOOST_TEST(cluster.root(plan).events.steps() < 8 * 10);
    const ExecutorLoad load = cluster.root(plan).executor->load();
    BOOST_TEST(load.pages_used == 0u);
    BOOST_TEST(load.shards == 1u);
    BOOST_TEST(load.weight_bytes > 0u);
  }
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;
  std::vector<StreamRequest> requests;
  std::vector<StreamRecord> expected;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(sharded_streams)

BOOST_AUTO_TEST_CASE(eight_streams_on_one_to_four_members_give_the_bits_of_one_shard) {
  OneModel model(DType::f32);
  model.check_cut({{{1}}});
  model.check_cut({{{1}, {2}}});
  model.check_cut({{{1}, {2}, {3}}}, WaitMode::automatic);
  model.check_cut({{{4}, {3}, {2}, {1}}});
}

BOOST_AUTO_TEST_CASE(uneven_shares_and_pipelines_give_the_bits_of_one_shard) {
  OneModel model(DType::q8);
  model.check_cut({{{1, 5}, {2, 1}, {3, 2}}});
  model.check_cut({{{1}, {2}}, {{3}, {4}}});
  model.check_cut({{{1}}, {{2, 1}, {3, 4}, {4, 1}}});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
