#include "runtime/model/perplexity.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/model/sampling.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

bool always(std::uint64_t, std::uint64_t) { return true; }

}  // namespace

BOOST_AUTO_TEST_CASE(perplexity_is_the_exponential_of_the_mean_over_windows) {
  const TemporaryFolder folder;
  const auto checkpoint = make_checkpoint(folder, awkward_shape(), DType::f32);
  const auto replica = make_replica(checkpoint, {}, 256);
  const std::vector<TokenId> tokens = random_tokens(100, 1100, 8);
  const auto report = perplexity(*replica, tokens, {.window = 71, .window_start = 1}, always);
  BOOST_REQUIRE(report);
  BOOST_TEST(report->windows == 2u);
  BOOST_TEST(report->scored_tokens == 100u);
  double sum = 0;
  for (std::size_t begin = 0; begin < 100; begin += 70) {
    std::vector<TokenId> window = {1};
    window.insert(window.end(), tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                  tokens.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(100, begin + 70)));
    const std::vector<float> logits = all_logits(checkpoint, {}, window);
    for (std::size_t i = 0; i + 1 < window.size(); ++i) {
      const LogProbabilities row(replica->ops(), {logits.data() + i * 1100, 1100});
      sum -= static_cast<double>(row.of(window[i + 1]));
    }
  }
  BOOST_TEST(report->mean_negative_log_probability == sum / 100);
  BOOST_TEST(std::fabs(report->perplexity - std::exp(sum / 100)) < 1e-9 * report->perplexity);
  // The same bits on shards.
  const auto sharded = make_replica(checkpoint, {available_isas().back(), 4, {}, 4, 1}, 256);
  const auto again = perplexity(*sharded, tokens, {.window = 71, .window_start = 1}, always);
  BOOST_REQUIRE(again);
  BOOST_TEST(again->perplexity == report->perplexity);
}

BOOST_AUTO_TEST_CASE(fewer_bits_cost_little_perplexity) {
  const TemporaryFolder folder;
  const auto replica_of = [&](DType dtype) {
    return make_replica(make_checkpoint(folder, awkward_shape(), dtype), {}, 256);
  };
  const std::vector<TokenId> tokens = random_tokens(200, 1100, 8);
  const auto mean = [&](DType dtype) {
    const auto report = perplexity(*replica_of(dtype), tokens, {.window = 101, .window_start = 1}, always);
    BOOST_REQUIRE(report);
    return report->mean_negative_log_probability;
  };
  const double exact = mean(DType::f32);
  BOOST_TEST(std::fabs(mean(DType::bf16) - exact) < 0.01);
  BOOST_TEST(std::fabs(mean(DType::q8) - exact) < 0.02);
  BOOST_TEST(std::fabs(mean(DType::q4) - exact) < 0.1);
}

BOOST_AUTO_TEST_CASE(without_a_start_token_the_first_token_of_a_window_is_not_scored) {
  const TemporaryFolder folder;
  const auto replica = make_replica(make_checkpoint(folder, awkward_shape(), DType::f32), {}, 256);
  const auto report = perplexity(*replica, random_tokens(41, 1100, 8), {.window = 10, .window_start = {}}, always);
  BOOST_REQUIRE(report);
  BOOST_TEST(report->windows == 4u);
  BOOST_TEST(report->scored_tokens == 36u);
}

BOOST_AUTO_TEST_CASE(texts_and_windows_that_make_no_sense_are_refused) {
  const TemporaryFolder folder;
  const auto replica = make_replica(make_checkpoint(folder, awkward_shape(), DType::f32), {}, 256);
  const std::vector<TokenId> tokens = random_tokens(10, 1100, 8);
  BOOST_TEST(!perplexity(*replica, {}, {.window = 0, .window_start = 1}, always));
  BOOST_TEST(!perplexity(*replica, std::span(tokens).first(1), {}, always));
  BOOST_TEST(!perplexity(*replica, tokens, {.window = 257, .window_start = 1}, always));
  BOOST_TEST(!perplexity(*replica, tokens, {.window = 1, .window_start = 1}, always));
  const auto cancelled = perplexity(*replica, tokens, {.window = 0, .window_start = 1},
                                    [](std::uint64_t, std::uint64_t) { return false; });
  BOOST_REQUIRE(!cancelled);
  BOOST_TEST((cancelled.error().code == ErrorCode::cancelled));
}
