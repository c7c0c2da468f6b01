#include "runtime/batching/prompt_lookup.hpp"

#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/batching/speculation.hpp"

namespace tessera {

namespace {

using Tokens = std::vector<TokenId>;

Tokens propose(const Tokens& prompt, const Tokens& generated, std::uint32_t count) {
  SequenceState sequence;
  sequence.spec.prompt = prompt;
  sequence.generated = generated;
  return PromptLookup().propose(sequence, count);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(prompt_lookup)

BOOST_AUTO_TEST_CASE(what_followed_the_last_tokens_before_is_proposed) {
  BOOST_CHECK((propose({1, 2, 3, 4, 5, 6, 7}, {2, 3}, 3) == Tokens{4, 5, 6}));
  BOOST_CHECK((propose({1, 2, 3, 4, 5, 6, 1, 2}, {}, 2) == Tokens{3, 4}));
}

BOOST_AUTO_TEST_CASE(the_longer_match_and_then_the_later_one_counts) {
  // 8 2 3 stood there once; 2 3 alone later.
  BOOST_CHECK((propose({8, 2, 3, 50, 2, 3, 60}, {8, 2, 3}, 1) == Tokens{50}));
  BOOST_CHECK((propose({7, 2, 3, 50, 9, 2, 3, 60}, {8, 2, 3}, 1) == Tokens{60}));
}

BOOST_AUTO_TEST_CASE(nothing_is_proposed_where_the_end_is_new) {
  BOOST_CHECK(propose({1, 2, 3, 4, 5}, {}, 4).empty());
  BOOST_CHECK(propose({1, 2, 3}, {9, 3}, 4).empty());  // one token alone says too little
  BOOST_CHECK(propose({1}, {}, 4).empty());
  BOOST_CHECK(propose({1}, {1}, 4).empty());
}

BOOST_AUTO_TEST_CASE(a_period_goes_on_in_itself) {
  BOOST_CHECK((propose({5, 5, 5}, {}, 4) == Tokens{5, 5, 5, 5}));
  BOOST_CHECK((propose({1, 2, 1, 2}, {}, 5) == Tokens{1, 2, 1, 2, 1}));
}

BOOST_AUTO_TEST_CASE(an_index_that_grows_says_what_a_new_one_says) {
  SequenceState sequence;
  sequence.spec.prompt = {3, 1, 4, 1, 5};
  PromptLookup grows;
  std::uint32_t proposed = 0;
  for (std::uint32_t i = 0; i < 3000; ++i) {
    sequence.generated.push_back(static_cast<TokenId>(i * i / 7 % 11));
    if (i % 5 == 4) continue;  // not asked at every token
    const Tokens tokens = grows.propose(sequence, 4);
    BOOST_REQUIRE((tokens == PromptLookup().propose(sequence, 4)));
    proposed += tokens.empty() ? 0 : 1;
  }
  BOOST_CHECK_GT(proposed, 1000u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(speculation_policy)

BOOST_AUTO_TEST_CASE(a_record_counts_the_last_64_steps) {
  DraftRecord record;
  BOOST_CHECK_EQUAL(record.acceptance(), 0.1);
  record.add(4, 4);
  BOOST_CHECK_EQUAL(record.acceptance(), 4.1 / 5);
  record.add(4, 1);  // the two behind the first wrong one say nothing
  BOOST_CHECK_EQUAL(record.acceptance(), 5.1 / 7);
  for (std::uint32_t i = 0; i < DraftRecord::steps - 2; ++i) record.add(0, 0);
  BOOST_CHECK_EQUAL(record.acceptance(), 5.1 / 7);
  record.add(0, 0);
  BOOST_CHECK_EQUAL(record.acceptance(), 1.1 / 3);
  record.add(0, 0);
  BOOST_CHECK_EQUAL(record.acceptance(), 0.1);
}

BOOST_AUTO_TEST_CASE(costs_are_means_of_what_was_measured_lately) {
  StepCost cost;
  cost.add(1, 10);
  BOOST_CHECK_EQUAL(cost.seconds(1), 10);
  BOOST_CHECK_EQUAL(cost.seconds(9), 20);  // nine times an eighth more than one row, by assumption
  cost.add(5, 20);
  BOOST_CHECK_EQUAL(cost.seconds(3), 15);
  cost.add(1, 12);
  BOOST_CHECK_EQUAL(cost.seconds(1), 11);
  cost.add(1, 1000);  // something else was on the machine
  BOOST_CHECK_EQUAL(cost.seconds(1), 11 + (33 - 11) / 3.0);
  for (std::uint64_t i = 0; i < StepCost::fresh_steps; ++i) cost.add(1, 11);
  BOOST_CHECK_LT(cost.seconds(5), 17);  // not 20: that was too long ago
  cost.add(5, 30);
  BOOST_CHECK_EQUAL(cost.seconds(5), 30);
}

BOOST_AUTO_TEST_CASE(drafts_are_taken_while_they_make_more_tokens_a_second) {
  StepCost cost;
  cost.add(1, 10);
  cost.add(5, 20);  // a row costs a quarter of the first
  BOOST_CHECK_EQUAL(drafts_worth(cost, 1, 1, 0.9, 4), 4u);
  BOOST_CHECK_EQUAL(drafts_worth(cost, 1, 1, 0.5, 4), 1u);
  BOOST_CHECK_EQUAL(drafts_worth(cost, 1, 1, 0.2, 4), 0u);
  BOOST_CHECK_EQUAL(drafts_worth(cost, 1, 1, 0.9, 0), 0u);
  // Beside three others, it is the step of all that grows.
  cost.add(4, 10);
  cost.add(8, 30);
  BOOST_CHECK_EQUAL(drafts_worth(cost, 4, 4, 0.9, 4), 0u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
