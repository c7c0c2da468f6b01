// Vectors of texts on sharded replicas: the bits that embed() gives on one shard, however the model is cut, beside
// streams of tokens, and while members come and go.
#include <boost/test/unit_test.hpp>

#include "runtime/model/embedding.hpp"
#include "tests/unit/executor/executor_fixture.hpp"

namespace tessera::test {

namespace {

constexpr std::uint32_t vocab = 1100;

StreamRequest text_request(std::uint64_t id, std::uint32_t length, VectorRequest vector) {
  StreamRequest request = make_request(id, length, 0, vocab);
  request.vector = vector;
  return request;
}

/// What embed() gives for the request on one shard.
std::vector<float> vector_alone(const std::shared_ptr<const Checkpoint>& checkpoint, const StreamRequest& request) {
  const auto replica = make_replica(checkpoint, {}, static_cast<std::uint32_t>(request.prompt.size()));
  EmbeddingOptions options;
  options.pooling = request.vector->pooling;
  options.normalised = request.vector->normalised;
  std::vector<float> vector;
  const std::vector<std::vector<TokenId>> texts = {request.prompt};
  const Result<void> done = embed(
      *replica, texts, options,
      [&](std::size_t, std::span<const float> values) { vector.assign(values.begin(), values.end()); },
      [] { return true; });
  BOOST_REQUIRE_MESSAGE(done, done.error().message);
  return vector;
}

bool ended(const StreamRecord& one) { return one.ended(); }

/// Texts of a model, with what they become alone.
struct TextModel {
  TextModel(const ModelShape& shape, DType dtype, const std::vector<VectorRequest>& kinds)
      : checkpoint(make_checkpoint(folder, shape, dtype)) {
    std::uint64_t id = 0;
    for (const std::uint32_t length : {3u, 150u, 1u, 33u, 64u, 90u}) {
      requests.push_back(text_request(100 + id, length, kinds[id % kinds.size()]));
      expected.push_back(vector_alone(checkpoint, requests.back()));
      ++id;
    }
  }
  EpochPlan start(TestCluster& cluster, const Stages& stages) const {
    const EpochPlan plan = cluster.plan(stages);
    const Result<void> started = cluster.start(plan);
    BOOST_REQUIRE_MESSAGE(started, started.error().message);
    for (const StreamRequest& request : requests) {
      const Result<void> submitted = cluster.submit(plan, request);
      BOOST_REQUIRE_MESSAGE(submitted, submitted.error().message);
    }
    return plan;
  }
  void check(TestCluster& cluster) const {
    BOOST_REQUIRE(cluster.frontends().wait(ids_of(requests), ended));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const StreamRecord record = cluster.frontends().record(requests[i].id);
      BOOST_TEST(!record.failed.has_value());
      BOOST_TEST(same_bits(record.vector, expected[i]), "text " << i);
      BOOST_TEST(record.tokens.empty());
    }
  }
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;
  std::vector<StreamRequest> requests;
  std::vector<std::vector<float>> expected;
};

const std::vector<VectorRequest> all_kinds = {{Pooling::mean, true}, {Pooling::cls, false}, {Pooling::last, true}};
const std::vector<VectorRequest> causal_kinds = {{Pooling::mean, false}, {Pooling::last, true}};

}  // namespace

BOOST_AUTO_TEST_SUITE(vectors)

BOOST_AUTO_TEST_CASE(an_encoder_gives_the_vectors_of_one_shard_however_it_is_cut) {
  const TextModel model(planned_shape("encoder"), DType::q8, all_kinds);
  for (const Stages& stages : {Stages{{{1}}}, Stages{{{1}, {2}}}, Stages{{{1, 3}, {2, 1}}, {{3}}}}) {
    TestCluster cluster(model.checkpoint);
    const EpochPlan plan = model.start(cluster, stages);
    model.check(cluster);
    BOOST_TEST(cluster.root(plan).executor->load().pages_used == 0u);
  }
}

BOOST_AUTO_TEST_CASE(other_models_give_theirs_beside_streams_of_tokens) {
  const TextModel model(awkward_shape(), DType::f32, causal_kinds);
  std::vector<StreamRequest> stories;
  for (std::uint64_t i = 0; i < 3; ++i) stories.push_back(make_request(i, 20, 15, vocab));
  for (const Stages& stages : {Stages{{{1}, {2}, {3}}}, Stages{{{1}}, {{2}, {3}}}}) {
    TestCluster cluster(model.checkpoint);
    const EpochPlan plan = model.start(cluster, stages);
    for (const StreamRequest& story : stories) BOOST_REQUIRE(cluster.submit(plan, story));
    model.check(cluster);
    BOOST_REQUIRE(cluster.frontends().wait(ids_of(stories), ended));
    for (const StreamRequest& story : stories)
      BOOST_TEST(same(cluster.frontends().record(story.id), undisturbed(model.checkpoint, story)));
  }
}

BOOST_AUTO_TEST_CASE(texts_go_on_in_the_next_epoch) {
  const TextModel model(awkward_shape(), DType::q8, causal_kinds);
  TestCluster cluster(model.checkpoint);
  const EpochPlan first = model.start(cluster, {{{1}, {2}}});
  const EpochPlan second = cluster.plan({{{3}, {1}, {2}}}, &first);
  const Result<void> replaced = cluster.replace(first, second);
  BOOST_REQUIRE_MESSAGE(replaced, replaced.error().message);
  BOOST_REQUIRE(cluster.frontends().wait(ids_of(model.requests),
                                         [](const StreamRecord& one) { return one.moved || one.ended(); }));
  std::vector<StreamRequest> left;
  for (const StreamRequest& request : model.requests) {
    if (!cluster.frontends().record(request.id).ended()) left.push_back(request);
  }
  BOOST_REQUIRE(cluster.resume(second, left));
  model.check(cluster);
}

BOOST_AUTO_TEST_CASE(an_encoder_refuses_to_tell_a_story) {
  const TextModel model(planned_shape("encoder"), DType::f32, all_kinds);
  TestCluster cluster(model.checkpoint);
  const EpochPlan plan = model.start(cluster, {{{1}}});
  const Result<void> refused = cluster.submit(plan, make_request(7, 10, 5, vocab));
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::unsupported));
  model.check(cluster);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
