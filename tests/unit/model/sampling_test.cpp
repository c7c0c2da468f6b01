#include "runtime/model/sampling.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "kernels/abi/kernel_tables.h"
#include "runtime/base/rng.hpp"
#include "runtime/device/isa.hpp"

using namespace tessera;

namespace {

const tessera_op_table& scalar() { return *tessera_scalar_table(); }

std::vector<float> random_logits(std::uint32_t count, std::uint32_t seed) {
  std::vector<float> logits;
  for (std::uint32_t i = 0; i < count; ++i) {
    logits.push_back(static_cast<float>(static_cast<std::int32_t>(philox({seed, 4}, {i, 0, 0, 0})[0])) * 0x1p-28f);
  }
  return logits;
}

TokenId sample_once(const SamplingParameters& parameters, const std::vector<float>& logits, std::uint32_t position = 0,
                    const tessera_op_table& ops = scalar()) {
  SamplingScratch scratch;
  return Sampler(ops, parameters, {}).sample(logits, position, scratch);
}

}  // namespace

BOOST_AUTO_TEST_CASE(log_probabilities_match_float64_and_sum_to_one) {
  for (const std::uint32_t vocab : {2u, 300u, 1024u, 5000u}) {
    const auto logits = random_logits(vocab, vocab);
    const LogProbabilities log_probabilities(scalar(), logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    double total = 0;
    for (std::uint32_t i = 0; i < vocab; ++i) {
      const double expected = static_cast<double>(logits[i]) - std::log(sum);
      BOOST_TEST(std::fabs(static_cast<double>(log_probabilities.of(static_cast<TokenId>(i))) - expected) < 2e-6);
      total += std::exp(static_cast<double>(log_probabilities.of(static_cast<TokenId>(i))));
    }
    BOOST_TEST(std::fabs(total - 1) < 1e-5);
  }
}

BOOST_AUTO_TEST_CASE(alternatives_are_the_most_probable_and_the_lowest_id_goes_first_among_equals) {
  const std::vector<float> logits{1, 5, 3, 5, -2};
  SamplingScratch scratch;
  const LogProbabilities log_probabilities(scalar(), logits);
  const TokenAlternatives three = log_probabilities.best(3, scratch);
  BOOST_TEST((three == TokenAlternatives{
                           {1, log_probabilities.of(1)}, {3, log_probabilities.of(3)}, {2, log_probabilities.of(2)}}));
  BOOST_TEST(log_probabilities.best(0, scratch).empty());
  BOOST_TEST(log_probabilities.best(20, scratch).size() == 5u);
  BOOST_TEST(log_probabilities.best(20, scratch).back().token == 4);
}

BOOST_AUTO_TEST_CASE(alternatives_come_in_the_order_of_a_whole_sort) {
  for (std::uint32_t seed = 0; seed < 30; ++seed) {
    // Spread over hundreds, or close together; many equal ones in every third.
    std::vector<float> logits = random_logits(1 + 97 * seed % 3000, seed);
    const float spread = seed % 2 == 0 ? 30.0f : 0.3f;
    for (float& logit : logits) logit = seed % 3 == 0 ? std::round(logit) * spread : logit * spread;
    if (logits.size() > 4) logits[1] = 0.0f, logits[3] = -0.0f;
    std::vector<TokenId> order(logits.size());
    std::iota(order.begin(), order.end(), TokenId{0});
    std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
      return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    const LogProbabilities log_probabilities(scalar(), logits);
    SamplingScratch scratch;
    for (const std::size_t count : {std::size_t{3}, std::size_t{70}, logits.size()}) {
      std::vector<TokenId> tokens;
      for (const auto& alternative : log_probabilities.best(static_cast<std::uint32_t>(count), scratch))
        tokens.push_back(alternative.token);
      BOOST_TEST((tokens == std::vector(order.begin(), order.begin() + std::ssize(tokens))));
      BOOST_TEST(tokens.size() == std::min(count, logits.size()));
    }
  }
}

BOOST_AUTO_TEST_CASE(draws_are_those_from_a_whole_sort) {
  // The definition of exactness.md, word for word: everything in order, one weight after the other.
  const auto defined = [](const SamplingParameters& parameters, std::vector<float> values, std::uint32_t position) {
    const float max = *std::max_element(values.begin(), values.end());
    for (float& value : values) value = (value - max) / parameters.temperature;
    std::vector<TokenId> order(values.size());
    std::iota(order.begin(), order.end(), TokenId{0});
    std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
      return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
    });
    std::vector<double> weights;
    for (const TokenId token : order) {
      float weight;
      scalar().exp(&values[static_cast<std::size_t>(token)], 1, &weight);
      weights.push_back(static_cast<double>(weight));
    }
    std::size_t count = order.size();
    double total = static_cast<double>(vocabulary_exp_sum(scalar(), values, 0));
    if (parameters.top_k > 0 && parameters.top_k < count) {
      count = parameters.top_k;
      total = std::accumulate(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(count), 0.0);
    }
    if (parameters.top_p < 1) {
      const double enough = static_cast<double>(parameters.top_p) * total;
      total = 0;
      std::size_t kept = 0;
      while (kept < count && total < enough) total += weights[kept++];
      count = kept;
    }
    const double target = uniform_double(philox_key(parameters.seed), {position, parameters.choice, 0, 0}) * total;
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      sum += weights[i];
      if (sum > target) return order[i];
    }
    return order[count - 1];
  };
  for (std::uint32_t seed = 0; seed < 24; ++seed) {
    std::vector<float> logits = random_logits(1 + 331 * seed % 7000, seed);
    const float spread = std::array{0.05f, 1.0f, 8.0f}[seed % 3];
    for (float& logit : logits) logit = seed % 4 == 0 ? std::round(logit) * spread : logit * spread;
    for (const SamplingParameters& parameters : {SamplingParameters{.temperature = 1.0f, .seed = seed},
                                                 SamplingParameters{.temperature = 0.3f, .top_k = 900, .seed = seed},
                                                 SamplingParameters{.temperature = 2.5f, .top_p = 0.95f, .seed = seed}})
      for (std::uint32_t position = 0; position < 12; ++position)
        BOOST_REQUIRE_EQUAL(sample_once(parameters, logits, position), defined(parameters, logits, position));
  }
}

BOOST_AUTO_TEST_CASE(every_isa_draws_the_same_tokens) {
  const auto logits = random_logits(5000, 1);
  for (const SamplingParameters& parameters : {SamplingParameters{.temperature = 1.0f, .seed = 9},
                                               SamplingParameters{.temperature = 0.7f, .top_k = 40, .seed = 9},
                                               SamplingParameters{.temperature = 1.3f, .top_p = 0.9f, .seed = 9},
                                               SamplingParameters{.temperature = 2.0f, .min_p = 0.02f, .seed = 9}}) {
    for (const Isa isa : available_isas()) {
      const tessera_op_table& ops = **select_kernels(isa);
      for (std::uint32_t position = 0; position < 50; ++position) {
        BOOST_REQUIRE_EQUAL(sample_once(parameters, logits, position, ops), sample_once(parameters, logits, position));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(seeded_draws_have_golden_values) {
  const auto logits = random_logits(300, 2);
  std::vector<TokenId> drawn;
  for (std::uint32_t position = 0; position < 8; ++position) {
    drawn.push_back(sample_once({.temperature = 3.0f, .seed = 42}, logits, position));
  }
  const std::vector<TokenId> golden = {207, 75, 54, 246, 126, 45, 196, 25};
  BOOST_TEST(drawn == golden, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(choices_of_one_seed_draw_for_themselves) {
  const auto logits = random_logits(300, 2);
  const auto draw = [&](std::uint32_t choice) {
    std::vector<TokenId> drawn;
    for (std::uint32_t position = 0; position < 8; ++position) {
      drawn.push_back(sample_once({.temperature = 3.0f, .seed = 42, .choice = choice}, logits, position));
    }
    return drawn;
  };
  const std::vector<TokenId> alone = {207, 75, 54, 246, 126, 45, 196, 25};
  BOOST_TEST(draw(0) == alone, boost::test_tools::per_element());
  BOOST_TEST((draw(1) != draw(0) && draw(2) != draw(1) && draw(2) != draw(0)));
  BOOST_TEST((draw(1) == draw(1)));
}

BOOST_AUTO_TEST_CASE(greedy_takes_the_lowest_id_among_equals) {
  BOOST_TEST(sample_once({}, {1.0f, 3.0f, 3.0f, 2.0f}) == 1);
  BOOST_TEST(sample_once({}, {-0.0f, 0.0f}) == 0);
}

BOOST_AUTO_TEST_CASE(draws_follow_the_distribution) {
  // Weights 1 : 2 : 5 : 0.
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(5.0f), -1000.0f};
  std::map<TokenId, int> counts;
  constexpr int draws = 40000;
  for (std::uint32_t position = 0; position < draws; ++position)
    ++counts[sample_once({.temperature = 1, .seed = 5}, logits, position)];
  BOOST_TEST(counts[3] == 0);
  // Six standard deviations.
  for (const auto& [token, share] : std::map<TokenId, double>{{0, 0.125}, {1, 0.25}, {2, 0.625}}) {
    BOOST_TEST(std::fabs(counts[token] - draws * share) < 6 * std::sqrt(draws * share * (1 - share)));
  }
}

BOOST_AUTO_TEST_CASE(filters_keep_only_what_they_should) {
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(5.0f), std::log(8.0f)};  // 1/16, 2/16, 5/16, 8/16
  const auto drawn = [&](const SamplingParameters& parameters) {
    std::map<TokenId, int> counts;
    for (std::uint32_t position = 0; position < 2000; ++position) ++counts[sample_once(parameters, logits, position)];
    std::vector<TokenId> tokens;
    for (const auto& [token, count] : counts) tokens.push_back(token);
    return tokens;
  };
  BOOST_TEST(drawn({.temperature = 1, .seed = 1}) == (std::vector<TokenId>{0, 1, 2, 3}),
             boost::test_tools::per_element());
  BOOST_TEST(drawn({.temperature = 1, .top_k = 2, .seed = 1}) == (std::vector<TokenId>{2, 3}),
             boost::test_tools::per_element());
  BOOST_TEST(drawn({.temperature = 1, .top_p = 0.5f, .seed = 1}) == (std::vector<TokenId>{3}),
             boost::test_tools::per_element());
  BOOST_TEST(drawn({.temperature = 1, .top_p = 0.6f, .seed = 1}) == (std::vector<TokenId>{2, 3}),
             boost::test_tools::per_element());
  BOOST_TEST(drawn({.temperature = 1, .min_p = 0.2f, .seed = 1}) == (std::vector<TokenId>{1, 2, 3}),
             boost::test_tools::per_element());
  BOOST_TEST(drawn({.temperature = 1, .top_k = 1000, .seed = 1}).size() == 4u);
  BOOST_TEST(drawn({.temperature = 1e-30f, .seed = 1}) == (std::vector<TokenId>{3}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_wide_draw_can_end_beyond_the_first_candidates) {
  const std::vector<float> flat(5000, 1.0f);
  TokenId largest = 0;
  for (std::uint32_t position = 0; position < 50; ++position)
    largest = std::max(largest, sample_once({.temperature = 1, .seed = 3}, flat, position));
  BOOST_TEST(largest > 2000);
}

BOOST_AUTO_TEST_CASE(penalties_and_bias_move_the_choice) {
  const std::vector<float> logits = {2.0f, 1.9f, -1.0f};
  BOOST_TEST(sample_once({.logit_bias = {{2, 5.0f}}}, logits) == 2);
  const std::vector<TokenId> prompt = {0};
  SamplingScratch scratch;
  // The repeat penalty sees the prompt, presence and frequency only the output.
  BOOST_TEST(Sampler(scalar(), {.repeat_penalty = 1.5f}, prompt).sample(logits, 1, scratch) == 1);
  BOOST_TEST(Sampler(scalar(), {.presence_penalty = 1.0f}, prompt).sample(logits, 1, scratch) == 0);
  Sampler presence(scalar(), {.presence_penalty = 1.0f}, prompt);
  BOOST_TEST(presence.sample(logits, 1, scratch) == 0);
  BOOST_TEST(presence.sample(logits, 2, scratch) == 1);
  BOOST_TEST(presence.sample(logits, 3, scratch) == 0);  // both penalised once
  Sampler frequency(scalar(), {.frequency_penalty = 0.3f}, prompt);
  BOOST_TEST(frequency.sample(logits, 1, scratch) == 0);
  BOOST_TEST(frequency.sample(logits, 2, scratch) == 1);
  BOOST_TEST(frequency.sample(logits, 3, scratch) == 0);
  BOOST_TEST(frequency.sample(logits, 4, scratch) == 1);
}

BOOST_AUTO_TEST_CASE(history_counts_every_token_once_by_id) {
  const std::vector<TokenId> prompt = {7, 3, 7, 900};
  TokenHistory history(prompt);
  for (const TokenId token : {3, 5, 5, 901}) history.take(token);
  std::vector<std::pair<TokenId, std::uint32_t>> entries;
  for (const auto& [token, sampled] : history.entries()) entries.emplace_back(token, sampled);
  BOOST_TEST((entries == std::vector<std::pair<TokenId, std::uint32_t>>{{3, 1}, {5, 2}, {7, 0}, {900, 0}, {901, 1}}));
}

BOOST_AUTO_TEST_CASE(parameters_out_of_range_are_refused_by_name) {
  const auto refused = [](const SamplingParameters& parameters, const std::string& name) {
    const Result<void> result = validate(parameters, 100);
    return !result && result.error().message.find(name) == 0;
  };
  BOOST_TEST(bool(validate(SamplingParameters{}, 100)));
  BOOST_TEST(refused({.temperature = -1}, "temperature"));
  BOOST_TEST(refused({.temperature = std::numeric_limits<float>::quiet_NaN()}, "temperature"));
  BOOST_TEST(refused({.top_p = 0}, "top-p"));
  BOOST_TEST(refused({.min_p = 1.5f}, "min-p"));
  BOOST_TEST(refused({.repeat_penalty = 0}, "repeat-penalty"));
  BOOST_TEST(refused({.logit_bias = {{100, 1.0f}}}, "logit-bias"));
  BOOST_TEST(refused({.logit_bias = {{1, std::numeric_limits<float>::infinity()}}}, "logit-bias"));
}
