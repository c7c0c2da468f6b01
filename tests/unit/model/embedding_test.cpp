// Vectors of texts: what they are, and that nothing but the text and the checkpoint changes a bit of them.
#include "runtime/model/embedding.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "runtime/model/generation.hpp"
#include "runtime/model/perplexity.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;
namespace data = boost::unit_test::data;

namespace {

using Texts = std::vector<std::vector<TokenId>>;
using Vectors = std::vector<std::vector<float>>;

constexpr std::uint32_t vocab = 1100;

bool always() { return true; }

/// Of many lengths: less than a page, a page, more than one run of the softmax.
Texts some_texts() {
  Texts texts;
  for (const std::uint32_t length : {3u, 150u, 1u, 32u, 33u, 2u, 90u, 5u, 128u, 7u}) {
    texts.push_back(random_tokens(length, vocab, 40 + length));
  }
  return texts;
}

Vectors vectors_of(LocalReplica& replica, const Texts& texts, const EmbeddingOptions& options) {
  Vectors vectors;
  const auto result = embed(
      replica, texts, options,
      [&](std::size_t text, std::span<const float> vector) {
        BOOST_REQUIRE(text == vectors.size());
        vectors.emplace_back(vector.begin(), vector.end());
      },
      always);
  BOOST_REQUIRE_MESSAGE(bool(result), (result ? "" : result.error().message));
  return vectors;
}

bool same(const Vectors& a, const Vectors& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same_bits(a[i], b[i])) return false;
  }
  return true;
}

/// Each text alone, on one thread.
Vectors alone(const std::shared_ptr<const Checkpoint>& checkpoint, const Texts& texts, EmbeddingOptions options) {
  Vectors vectors;
  for (const std::vector<TokenId>& text : texts) {
    const auto replica = make_replica(checkpoint, {}, static_cast<std::uint32_t>(text.size()));
    vectors.push_back(vectors_of(*replica, {text}, options).at(0));
  }
  return vectors;
}

std::string refusal(const ModelShape& shape, const Texts& texts, const EmbeddingOptions& options) {
  const Result<void> result = validate(texts, options, shape);
  if (!result) BOOST_TEST((result.error().code == ErrorCode::invalid_argument));
  return result ? "" : result.error().message;
}

bool says(const std::string& message, const char* what) { return message.find(what) != std::string::npos; }

std::string family_of(std::size_t which) {
  return std::vector<std::string>{"encoder", "rotary-encoder", "layer-norm", "normed-sums"}[which];
}

}  // namespace

BOOST_AUTO_TEST_SUITE(embedding)

BOOST_AUTO_TEST_CASE(a_vector_is_the_pooled_hidden_states) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, planned_shape("encoder"), DType::f32);
  const std::size_t dim = checkpoint->manifest().shape.dim;
  const Texts texts{random_tokens(45, vocab, 9)};
  const std::vector<float> states = all_hidden(checkpoint, {}, texts[0]);
  const auto replica = make_replica(checkpoint, {}, 64);
  const auto vector = [&](Pooling pooling, bool normalised) {
    return vectors_of(*replica, texts, {pooling, normalised}).at(0);
  };
  BOOST_TEST(same_bits(vector(Pooling::cls, false), {states.data(), dim}));
  BOOST_TEST(same_bits(vector(Pooling::last, false), {states.data() + 44 * dim, dim}));
  std::vector<float> mean(dim);
  double squares = 0;
  for (std::size_t i = 0; i < dim; ++i) {
    double sum = 0;
    for (std::size_t token = 0; token < 45; ++token) sum += static_cast<double>(states[token * dim + i]);
    mean[i] = static_cast<float>(sum / 45);
    squares += static_cast<double>(mean[i]) * static_cast<double>(mean[i]);
  }
  BOOST_TEST(same_bits(vector(Pooling::mean, false), mean));
  for (float& value : mean) value = static_cast<float>(static_cast<double>(value) / std::sqrt(squares));
  BOOST_TEST(same_bits(vector(Pooling::mean, true), mean));
  // No state is another's: the tests above could tell them apart.
  BOOST_TEST(!same_bits({states.data(), dim}, {states.data() + 44 * dim, dim}));
}

BOOST_DATA_TEST_CASE(a_text_does_not_feel_the_texts_around_it_nor_how_it_is_carried_out,
                     data::xrange(4) * data::make(all_dtypes), which, dtype) {
  const TemporaryFolder folder;
  ModelShape shape = planned_shape(family_of(which));
  const auto checkpoint = make_checkpoint(folder, shape, dtype);
  const Texts texts = some_texts();
  EmbeddingOptions options{Pooling::mean, true};
  const Vectors expected = alone(checkpoint, texts, options);
  struct Way {
    Execution execution;
    std::uint32_t rows;
  };
  std::vector<Way> ways;
  for (const Isa isa : tried_isas()) {
    ways.push_back({{isa, 1, {}, 1, 0}, 512});
    ways.push_back({{isa, 6, {}, 2, 0}, 40});
  }
  const Isa fastest = available_isas().back();
  ways.push_back({{fastest, 3, {1.0, 7.0, 2.0}, 5, 0, {}, 1}, 200});
  ways.push_back({{fastest, 2, {0.01, 5.0}, 2, 0}, 1});
  ways.push_back({{fastest, 1, {}, 1, 0, {StageOptions{1, 2, {}}, StageOptions{2, 1, {}}}}, 100});
  for (const Way& way : ways) {
    const auto replica = make_replica(checkpoint, way.execution, embedding_positions(texts));
    options.rows_per_step = way.rows;
    BOOST_TEST(same(vectors_of(*replica, texts, options), expected),
               shape.family << ", " << to_string(way.execution.isa) << ", " << way.execution.shards << " shards, "
                            << way.rows << " rows");
  }
}

BOOST_AUTO_TEST_CASE(a_token_of_an_encoder_sees_those_after_it_and_of_other_models_not) {
  const TemporaryFolder folder;
  std::vector<TokenId> text = random_tokens(40, vocab, 4), changed = text;
  changed.back() = (changed.back() + 1) % static_cast<TokenId>(vocab);
  for (const char* const family : {"encoder", "layer-norm"}) {
    const auto checkpoint = make_checkpoint(folder, planned_shape(family), DType::f32);
    const std::vector<float> a = all_hidden(checkpoint, {.chunk = 40}, text);
    const std::vector<float> b = all_hidden(checkpoint, {.chunk = 40}, changed);
    const std::size_t dim = checkpoint->manifest().shape.dim;
    BOOST_TEST(same_bits({a.data(), dim}, {b.data(), dim}) == (std::string(family) == "layer-norm"));
  }
}

BOOST_DATA_TEST_CASE(an_encoder_takes_texts_longer_than_a_step_of_other_models, data::make(all_dtypes), dtype) {
  const TemporaryFolder folder;
  ModelShape shape = planned_shape("encoder");
  shape.context_length = 1000;
  shape.layers = 2;
  const auto checkpoint = make_checkpoint(folder, shape, dtype);
  Texts texts{random_tokens(5, vocab, 1), random_tokens(700, vocab, 2), random_tokens(6, vocab, 3)};
  const EmbeddingOptions options{Pooling::mean};
  const Isa isa = available_isas().back();
  const auto one = make_replica(checkpoint, {isa, 1, {}, 3}, embedding_positions(texts));
  const Vectors expected = vectors_of(*one, texts, options);
  for (const Execution& execution : {Execution{isa, 6, {}, 6}, Execution{isa, 3, {}, 3, 1, {}, 1}}) {
    const auto replica = make_replica(checkpoint, execution, embedding_positions(texts));
    BOOST_TEST(same(vectors_of(*replica, texts, options), expected));
  }
  // The first 5 tokens of the long one see the other 695.
  texts[1].resize(5);
  BOOST_TEST(!same_bits(vectors_of(*one, texts, options)[1], expected[1]));
}

BOOST_AUTO_TEST_CASE(few_pages_make_smaller_steps_and_all_come_back) {
  const TemporaryFolder folder;
  for (const char* const family : {"encoder", "normed-sums"}) {
    const auto checkpoint = make_checkpoint(folder, planned_shape(family), DType::q8);
    const Texts texts = some_texts();
    const EmbeddingOptions options{Pooling::last, true};
    const auto replica = make_replica(checkpoint, {available_isas().back()}, 150);
    const std::uint32_t pages = replica->pages().free_pages();
    BOOST_TEST(same(vectors_of(*replica, texts, options), alone(checkpoint, texts, options)));
    BOOST_TEST(replica->pages().free_pages() == pages);
    std::uint32_t steps = 0;
    const auto stopped = embed(
        *replica, texts, options, [](std::size_t, std::span<const float>) {}, [&] { return ++steps < 3; });
    BOOST_REQUIRE(!stopped);
    BOOST_TEST((stopped.error().code == ErrorCode::cancelled));
    BOOST_TEST(replica->pages().free_pages() == pages);
    const auto narrow = make_replica(checkpoint, {available_isas().back()}, 32);
    const auto refused = embed(
        *narrow, Texts{texts[1]}, options, [](std::size_t, std::span<const float>) {}, always);
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == ErrorCode::exhausted));
  }
}

BOOST_AUTO_TEST_CASE(the_checkpoint_says_how_texts_become_vectors) {
  Manifest manifest;
  manifest.shape = planned_shape("encoder");
  EmbeddingOptions options = embedding_options(manifest);
  BOOST_TEST((options.pooling == Pooling::mean && !options.normalised && options.tokens_max == 256));
  manifest.pooling = PoolingPlan{Pooling::cls, true, 100};
  options = embedding_options(manifest);
  BOOST_TEST((options.pooling == Pooling::cls && options.normalised && options.tokens_max == 100));
  manifest.pooling->tokens_max = 4000;  // more than the model takes
  BOOST_TEST(embedding_options(manifest).tokens_max == 256u);
  manifest.shape.context_length = 100'000;
  manifest.pooling.reset();
  BOOST_TEST(embedding_options(manifest).tokens_max == limits::sequence_rows_max);
  manifest.shape = awkward_shape();
  BOOST_TEST((embedding_options(manifest).pooling == Pooling::last));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_done_is_said_with_the_number_of_the_text_and_the_limit) {
  const ModelShape shape = planned_shape("encoder");
  const Texts good{{1, 2}, random_tokens(256, vocab, 1)};
  BOOST_TEST(refusal(shape, good, {}) == "");
  BOOST_TEST(refusal(shape, {}, {}) == "");
  BOOST_TEST(says(refusal(shape, {{1}, {}}, {}), "text 2 has no tokens"));
  BOOST_TEST(says(refusal(shape, {{1}, random_tokens(257, vocab, 1)}, {}), "text 2 has 257 tokens, the limit is 256"));
  BOOST_TEST(says(refusal(shape, good, {.tokens_max = 9}), "text 2 has 256 tokens, the limit is 9"));
  BOOST_TEST(says(refusal(shape, good, {.tokens_max = 257}), "at most 256"));
  BOOST_TEST(says(refusal(shape, {{1, 1100}}, {}), "text 1: token 1100"));
  BOOST_TEST(says(refusal(shape, {{-1}}, {}), "text 1: token -1"));
  BOOST_TEST(says(refusal(shape, good, {.rows_per_step = 0}), "0 rows a step"));
  BOOST_TEST(says(refusal(shape, good, {.rows_per_step = 513}), "513 rows a step"));
  BOOST_TEST(says(refusal(awkward_shape(), good, {.pooling = Pooling::cls}), "mean or last"));
}

BOOST_AUTO_TEST_CASE(a_text_is_shortened_before_what_stands_after_it) {
  std::vector<TokenId> text{101, 1, 2, 3, 4, 102};
  BOOST_TEST(!shorten_text(text, 6, 1));
  BOOST_TEST(shorten_text(text, 4, 1));
  BOOST_TEST(text == (std::vector<TokenId>{101, 1, 2, 102}), boost::test_tools::per_element());
  BOOST_TEST(shorten_text(text, 1, 3));
  BOOST_TEST(text == (std::vector<TokenId>{102}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_encoder_gives_neither_text_nor_probabilities) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, planned_shape("encoder"), DType::f32);
  const auto replica = make_replica(checkpoint, {}, 64);
  GenerationRequest request;
  request.prompt = {1, 2, 3};
  const Result<void> refused = validate(request, checkpoint->manifest().shape);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::unsupported));
  BOOST_TEST(says(refused.error().message, "tessera embed"));
  const auto measured = perplexity(*replica, request.prompt, {}, [](std::uint64_t, std::uint64_t) { return true; });
  BOOST_REQUIRE(!measured);
  BOOST_TEST((measured.error().code == ErrorCode::unsupported));
}

BOOST_AUTO_TEST_SUITE_END()
