#include "runtime/batching/conductor_core.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/conductor_driver.hpp"

namespace tessera {

namespace {

ConductorLimits small_limits() {
  ConductorLimits limits;
  limits.context_length = 96;
  limits.vocab_size = 50;
  limits.pages = 9;
  limits.rows_max = 8;
  limits.logits_rows_max = 4;
  limits.running_max = 4;
  limits.waiting_max = 16;
  return limits;
}

SequenceSpec spec_of(std::uint64_t id, std::uint32_t prompt, std::uint32_t tokens_max) {
  SequenceSpec spec;
  spec.key = {0, id};
  for (std::uint32_t i = 0; i < prompt; ++i) spec.prompt.push_back(static_cast<TokenId>((id * 7 + i * 3) % 50));
  spec.tokens_max = tokens_max;
  return spec;
}

std::vector<TokenId> tokens_of(const HashModel::Reference& reference, std::size_t count) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(reference.tokens.at(i).token);
  return tokens;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_core)

BOOST_AUTO_TEST_CASE(a_stream_has_the_tokens_of_generate) {
  ConductorDriver driver(small_limits());
  for (const auto& [prompt, tokens] :
       {std::pair{1u, 1u}, {5u, 20u}, {33u, 2u}, {96u, 5u}, {90u, 50u}, {95u, 2u}, {3u, 0u}}) {
    const SequenceSpec spec = spec_of(prompt * 100 + tokens, prompt, tokens);
    driver.submit(spec);
    driver.run();
    driver.require_complete(spec);
  }
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
}

BOOST_AUTO_TEST_CASE(a_full_context_gives_one_token_more_than_positions) {
  ConductorDriver driver(small_limits());
  const SequenceSpec spec = spec_of(1, 90, 50);
  driver.submit(spec);
  driver.run();
  BOOST_CHECK_EQUAL(driver.received.at(spec.key).tokens.size(), 7u);
  BOOST_CHECK(driver.received.at(spec.key).finished == FinishReason::length);
}

BOOST_AUTO_TEST_CASE(an_end_token_is_delivered_and_ends_the_stream) {
  ConductorDriver driver(small_limits());
  SequenceSpec spec = spec_of(3, 4, 40);
  spec.end_tokens = {driver.model.reference(spec, 96).tokens.at(6).token};
  driver.submit(spec);
  driver.run();
  driver.require_complete(spec);
  BOOST_CHECK(driver.received.at(spec.key).finished == FinishReason::end_token);
}

BOOST_AUTO_TEST_CASE(prompt_scores_come_in_order_and_once) {
  ConductorDriver driver(small_limits());
  SequenceSpec spec = spec_of(4, 30, 3), only_scores = spec_of(5, 20, 0), single = spec_of(6, 1, 0);
  spec.score_prompt = only_scores.score_prompt = single.score_prompt = true;
  for (const SequenceSpec& each : {spec, only_scores, single}) driver.submit(each);
  driver.run();
  for (const SequenceSpec& each : {spec, only_scores, single}) driver.require_complete(each);
}

BOOST_AUTO_TEST_CASE(a_resumed_stream_goes_on_behind_the_delivered_tokens) {
  for (std::size_t delivered = 0; delivered <= 7; ++delivered) {
    ConductorDriver driver(small_limits());
    SequenceSpec spec = spec_of(8, 10, 7);
    const HashModel::Reference reference = driver.model.reference(spec, 96);
    spec.delivered = tokens_of(reference, delivered);
    driver.submit(spec);
    driver.received[spec.key].tokens.assign(reference.tokens.begin(),
                                            reference.tokens.begin() + static_cast<std::ptrdiff_t>(delivered));
    driver.run();
    driver.require_complete(spec);
  }
}

BOOST_AUTO_TEST_CASE(a_resumed_stream_whose_tokens_end_it_finishes_without_a_step) {
  ConductorDriver driver(small_limits());
  SequenceSpec at_length = spec_of(1, 4, 3), at_end = spec_of(2, 4, 30), at_context = spec_of(3, 96, 30);
  at_length.delivered = {1, 2, 3};
  at_end.delivered = {1, 2, 3};
  at_end.end_tokens = {3};
  at_context.delivered = {9};
  for (const SequenceSpec& spec : {at_length, at_end, at_context}) driver.submit(spec);
  driver.take();
  BOOST_CHECK(driver.received.at(at_length.key).finished == FinishReason::length);
  BOOST_CHECK(driver.received.at(at_end.key).finished == FinishReason::end_token);
  BOOST_CHECK(driver.received.at(at_context.key).finished == FinishReason::length);
  BOOST_CHECK(!driver.core.plan_step());
}

BOOST_AUTO_TEST_CASE(requests_that_make_no_sense_are_refused_with_the_reason) {
  ConductorCore core(small_limits());
  SequenceSpec empty = spec_of(1, 0, 3), too_long = spec_of(2, 97, 3), outside = spec_of(3, 3, 3),
               over = spec_of(4, 3, 1);
  outside.prompt[1] = 50;
  over.delivered = {1, 2};
  for (const SequenceSpec& spec : {empty, too_long, outside, over}) {
    const auto result = core.submit(spec);
    BOOST_REQUIRE(!result);
    BOOST_CHECK(result.error().code == ErrorCode::invalid_argument);
  }
  ConductorLimits few_pages = small_limits();
  few_pages.pages = 2;
  ConductorCore tiny(few_pages);
  const auto never_fits = tiny.submit(spec_of(5, 60, 30));
  BOOST_REQUIRE(!never_fits);
  BOOST_CHECK(never_fits.error().code == ErrorCode::exhausted);
}

BOOST_AUTO_TEST_CASE(beyond_waiting_max_requests_are_refused) {
  ConductorLimits limits = small_limits();
  limits.waiting_max = 2;
  ConductorDriver driver(limits);
  driver.submit(spec_of(1, 3, 3));
  driver.submit(spec_of(2, 3, 3));
  const auto third = driver.core.submit(spec_of(3, 3, 3));
  BOOST_REQUIRE(!third);
  BOOST_CHECK(third.error().code == ErrorCode::exhausted);
  BOOST_CHECK_EQUAL(driver.core.load().waiting, 2u);
  driver.run();
  driver.submit(spec_of(3, 3, 3));
}

BOOST_AUTO_TEST_CASE(another_request_under_a_living_id_is_a_conflict) {
  ConductorDriver driver(small_limits());
  driver.submit(spec_of(1, 3, 30));
  const auto second = driver.core.submit(spec_of(1, 4, 30));
  BOOST_REQUIRE(!second);
  BOOST_CHECK(second.error().code == ErrorCode::conflict);
}

BOOST_AUTO_TEST_CASE(the_first_that_does_not_fit_holds_back_those_behind_it) {
  ConductorDriver driver(small_limits());  // 9 pages
  driver.submit(spec_of(1, 60, 36));       // 3 pages
  driver.submit(spec_of(2, 60, 36));
  driver.submit(spec_of(3, 60, 20));  // 3 pages
  driver.submit(spec_of(4, 60, 36));  // has to wait
  driver.submit(spec_of(5, 1, 1));    // would fit, waits behind
  BOOST_REQUIRE(driver.begin());
  BOOST_CHECK_EQUAL(driver.core.load().running, 3u);
  BOOST_CHECK_EQUAL(driver.core.load().waiting, 2u);
  driver.finish();
  driver.run();
  for (const auto& [key, stream] : driver.received) BOOST_CHECK(stream.finished.has_value());
  BOOST_CHECK_EQUAL(driver.received.size(), 5u);
}

BOOST_AUTO_TEST_CASE(replays_are_admitted_before_new_requests_shortest_first) {
  ConductorLimits limits = small_limits();
  limits.running_max = 1;
  ConductorDriver driver(limits);
  SequenceSpec fresh = spec_of(1, 2, 3), longer = spec_of(2, 20, 9), shorter = spec_of(3, 5, 9);
  longer.delivered = {1};
  shorter.delivered = {1, 2};
  for (const SequenceSpec& spec : {fresh, longer, shorter}) driver.submit(spec);
  BOOST_REQUIRE(driver.begin());
  BOOST_CHECK(driver.plan->sequences[0].key == shorter.key);
}

BOOST_AUTO_TEST_CASE(cancelling_between_steps_frees_the_pages_at_once) {
  ConductorDriver driver(small_limits());
  driver.submit(spec_of(1, 40, 30));
  for (int i = 0; i < 3; ++i) driver.step();
  BOOST_CHECK_GT(driver.core.load().pages_used, 0u);
  driver.core.cancel({0, 1});
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
  BOOST_CHECK(!driver.step());
  BOOST_CHECK(!driver.received.contains({0, 1}));
}

BOOST_AUTO_TEST_CASE(cancelling_during_a_step_frees_the_pages_when_it_is_done) {
  ConductorDriver driver(small_limits());
  driver.submit(spec_of(1, 40, 30));
  driver.submit(spec_of(2, 3, 9));
  BOOST_REQUIRE(driver.begin());
  driver.core.cancel({0, 1});
  BOOST_CHECK_GT(driver.core.load().pages_used, 0u);
  driver.finish();
  driver.run();
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
  BOOST_CHECK(!driver.received.contains({0, 1}));
  driver.require_complete(spec_of(2, 3, 9));
}

BOOST_AUTO_TEST_CASE(a_cancelled_id_can_be_used_again_during_the_same_step) {
  ConductorDriver driver(small_limits());
  driver.submit(spec_of(1, 4, 5));
  BOOST_REQUIRE(driver.begin());
  driver.core.cancel({0, 1});
  driver.submit(spec_of(1, 9, 5));
  driver.finish();
  driver.run();
  driver.require_complete(spec_of(1, 9, 5));
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
}

BOOST_AUTO_TEST_CASE(lost_pages_are_replayed_and_the_tokens_stay_the_same) {
  ConductorDriver driver(small_limits());
  for (std::uint64_t id = 1; id <= 4; ++id) driver.submit(spec_of(id, 10, 20));
  for (int i = 0; i < 15; ++i) driver.step();
  BOOST_REQUIRE(driver.begin());
  driver.model.forget();
  driver.core.invalidate_kv();
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
  driver.run();
  for (std::uint64_t id = 1; id <= 4; ++id) driver.require_complete(spec_of(id, 10, 20));
}

BOOST_AUTO_TEST_CASE(an_abandoned_step_is_planned_again) {
  ConductorDriver driver(small_limits());
  driver.submit(spec_of(1, 20, 9));
  for (int i = 0; i < 60; ++i) {
    if (!driver.begin()) break;
    if (i % 2 == 0) {
      driver.core.step_abandoned();
    } else {
      driver.finish();
    }
  }
  driver.run();
  driver.require_complete(spec_of(1, 20, 9));
}

BOOST_AUTO_TEST_CASE(a_history_is_prompt_and_all_tokens_so_far) {
  ConductorDriver driver(small_limits());
  SequenceSpec spec = spec_of(1, 5, 20);
  const auto reference = driver.model.reference(spec, 96);
  spec.delivered = tokens_of(reference, 3);
  driver.submit(spec);
  driver.received[spec.key].tokens.assign(reference.tokens.begin(), reference.tokens.begin() + 3);
  for (int i = 0; i < 4; ++i) driver.step();
  const auto view = driver.core.find(spec.key);
  BOOST_REQUIRE(view);
  BOOST_CHECK(view->spec->prompt == spec.prompt);
  const std::vector<TokenId> expected = tokens_of(reference, view->generated.size());
  BOOST_CHECK_GT(expected.size(), 3u);
  BOOST_CHECK_EQUAL_COLLECTIONS(view->generated.begin(), view->generated.end(), expected.begin(), expected.end());
  BOOST_CHECK(!driver.core.find({7, 7}));
}

BOOST_AUTO_TEST_CASE(alternatives_come_beside_tokens_and_scores_also_when_they_are_told_again) {
  ConductorDriver driver(small_limits());
  SequenceSpec spec = spec_of(1, 5, 6);
  spec.score_prompt = true;
  spec.alternatives = 3;
  driver.submit(spec);
  driver.step();
  driver.step();
  driver.step();
  driver.core.detach(spec.key);
  driver.submit(spec);  // its frontend lost everything
  const std::vector<SequenceUpdate> again = driver.core.take_updates();
  const HashModel::Reference reference = driver.model.reference(spec, driver.core.limits().context_length);
  BOOST_REQUIRE(!again.empty() && again[0].scores.size() == 4 && !again[0].tokens.empty());
  for (const SequenceScore& score : again[0].scores)
    BOOST_TEST((score.alternatives == reference.score_alternatives[score.index - 1]));
  for (const SequenceToken& token : again[0].tokens)
    BOOST_TEST((token.alternatives == reference.tokens[token.index].alternatives));
  BOOST_TEST(reference.tokens[0].alternatives.size() == 3u);
}

BOOST_AUTO_TEST_CASE(too_many_alternatives_are_refused_and_others_make_another_request) {
  ConductorDriver driver(small_limits());
  SequenceSpec spec = spec_of(1, 5, 6);
  spec.alternatives = limits::alternatives_max + 1;
  const auto many = driver.core.submit(spec);
  BOOST_REQUIRE(!many);
  BOOST_TEST(many.error().message == "21 alternatives of a token: ask for at most 20");
  spec.alternatives = 20;
  driver.submit(spec);
  spec.alternatives = 19;
  const auto other = driver.core.submit(spec);
  BOOST_REQUIRE(!other);
  BOOST_TEST((other.error().code == ErrorCode::conflict));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
