#include "runtime/model/generation.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// Moves a millisecond at every look, so that timings are exact numbers.
class TickingClock final : public Clock {
 public:
  TimePoint now() const override {
    now_ += std::chrono::milliseconds(1);
    return now_;
  }

 private:
  mutable TimePoint now_{};
};

struct Generated {
  std::vector<TokenId> ids;
  std::vector<float> log_probabilities;
  Result<GenerationReport> report = Error{ErrorCode::cancelled, "not run"};
};

Generated run(LocalReplica& replica, const GenerationRequest& request) {
  Generated out;
  const TickingClock clock;
  out.report = generate(
      replica, request, clock,
      [&](TokenId token, float log_probability) {
        out.ids.push_back(token);
        out.log_probabilities.push_back(log_probability);
        return true;
      },
      [] { return true; });
  return out;
}

struct Fixture {
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint = make_checkpoint(folder, awkward_shape(), DType::q8);
  std::unique_ptr<LocalReplica> replica = make_replica(checkpoint, {available_isas().back(), 1, {}, 1, 1}, 256);
  std::uint32_t free_pages = replica->pages().free_pages();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(generation, Fixture)

BOOST_AUTO_TEST_CASE(decode_equals_prefill_of_the_same_tokens) {
  GenerationRequest request;
  request.prompt = {1, 50, 60};
  request.tokens_max = 30;
  const Generated out = run(*replica, request);
  BOOST_REQUIRE(out.report);
  BOOST_TEST(out.ids.size() == 30u);
  std::vector<TokenId> whole = request.prompt;
  whole.insert(whole.end(), out.ids.begin(), out.ids.end());
  const std::vector<float> logits = all_logits(checkpoint, {Isa::scalar, 2, {}, 1, 33}, whole);
  for (std::size_t i = 0; i < out.ids.size(); ++i) {
    const std::span<const float> row(logits.data() + (request.prompt.size() + i - 1) * 1100, 1100);
    const LogProbabilities expected(replica->ops(), row);
    BOOST_TEST(expected.best() == out.ids[i]);
    BOOST_TEST(expected.of(out.ids[i]) == out.log_probabilities[i]);
  }
}

BOOST_AUTO_TEST_CASE(sampling_is_reproducible_by_seed_and_free_of_layout) {
  GenerationRequest request;
  request.prompt = {1, 300, 7};
  request.tokens_max = 40;
  request.sampling = {
      .temperature = 1.5f, .top_p = 0.95f, .repeat_penalty = 1.2f, .frequency_penalty = 0.1f, .seed = 77};
  const Generated expected = run(*replica, request);
  BOOST_REQUIRE(expected.report);
  for (const Execution& execution :
       {Execution{Isa::scalar, 3, {}, 1, 1}, Execution{available_isas().back(), 5, {}, 2, 1}}) {
    const auto other = make_replica(checkpoint, execution, 256);
    request.prefill_chunk = 2;
    const Generated out = run(*other, request);
    BOOST_TEST(out.ids == expected.ids, boost::test_tools::per_element());
    BOOST_TEST(same_bits(out.log_probabilities, expected.log_probabilities));
  }
  request.sampling.seed = 78;
  BOOST_TEST(run(*replica, request).ids != expected.ids);
}

BOOST_AUTO_TEST_CASE(zero_tokens_evaluates_the_prompt_only) {
  GenerationRequest request;
  request.prompt = {1, 5};
  request.tokens_max = 0;
  const Generated out = run(*replica, request);
  BOOST_REQUIRE(out.report);
  BOOST_TEST(out.ids.empty());
  BOOST_TEST(out.report->prompt_tokens == 2u);
  BOOST_TEST((out.report->finish_reason == FinishReason::length));
  BOOST_TEST(out.report->prefill_seconds > 0);
}

BOOST_AUTO_TEST_CASE(bad_prompts_are_refused_with_the_reason) {
  const auto message = [&](std::vector<TokenId> prompt) {
    GenerationRequest request;
    request.prompt = std::move(prompt);
    const Generated out = run(*replica, request);
    return out.report ? std::string("accepted") : out.report.error().message;
  };
  BOOST_TEST(message({}).find("empty") != std::string::npos);
  BOOST_TEST(message(std::vector<TokenId>(257, 5)).find("257 tokens, the model's context only 256") !=
             std::string::npos);
  BOOST_TEST(message({1, 1100}).find("1100 is outside the vocabulary") != std::string::npos);
  BOOST_TEST(message({-1}).find("outside the vocabulary") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_end_of_the_context_ends_the_stream) {
  GenerationRequest request;
  request.prompt = random_tokens(250, 1100, 1);
  request.tokens_max = 1000;
  const Generated out = run(*replica, request);
  BOOST_REQUIRE(out.report);
  BOOST_TEST(out.ids.size() == 7u);  // positions 250 .. 255 are fed back; one more is sampled from the last
  BOOST_TEST((out.report->finish_reason == FinishReason::length));
}

BOOST_AUTO_TEST_CASE(an_end_token_ends_the_stream_and_is_delivered) {
  GenerationRequest request;
  request.prompt = {1};
  request.tokens_max = 20;
  const Generated free_run = run(*replica, request);
  request.end_tokens = {free_run.ids[4]};
  const std::size_t first = static_cast<std::size_t>(
      std::find(free_run.ids.begin(), free_run.ids.end(), free_run.ids[4]) - free_run.ids.begin());
  const Generated out = run(*replica, request);
  BOOST_REQUIRE(out.report);
  BOOST_TEST(out.ids.size() == first + 1);
  BOOST_TEST((out.report->finish_reason == FinishReason::end_token));
}

BOOST_AUTO_TEST_CASE(a_stop_by_the_caller_or_the_user_gives_the_pages_back) {
  GenerationRequest request;
  request.prompt = {1, 2, 3};
  request.tokens_max = 20;
  const TickingClock clock;
  int delivered = 0;
  const auto stopped = generate(
      *replica, request, clock, [&](TokenId, float) { return ++delivered < 3; }, [] { return true; });
  BOOST_REQUIRE(stopped);
  BOOST_TEST((stopped->finish_reason == FinishReason::stopped));
  BOOST_TEST(delivered == 3);
  int steps = 0;
  const auto cancelled = generate(
      *replica, request, clock, [](TokenId, float) { return true; }, [&] { return ++steps < 5; });
  BOOST_REQUIRE(!cancelled);
  BOOST_TEST((cancelled.error().code == ErrorCode::cancelled));
  BOOST_TEST(replica->pages().free_pages() == free_pages);
}

BOOST_AUTO_TEST_SUITE_END()
