// Sequences that want hidden states instead of tokens: which rows they have, and that nothing is lost or added twice.
#include <numeric>

#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/conductor_driver.hpp"

namespace tessera {

namespace {

ConductorLimits small_limits() {
  ConductorLimits limits;
  limits.context_length = 200;
  limits.vocab_size = 20;
  limits.pages = 8;
  limits.rows_max = 24;
  limits.running_max = 4;
  limits.logits_rows_max = 8;
  return limits;
}

SequenceSpec text(std::uint64_t id, std::uint32_t length, HiddenStates hidden = HiddenStates::all) {
  SequenceSpec spec;
  spec.key = {9, id};
  for (std::uint32_t i = 0; i < length; ++i) spec.prompt.push_back(static_cast<TokenId>((i * 7 + id) % 20));
  spec.tokens_max = 0;
  spec.hidden = hidden;
  return spec;
}

SequenceSpec story(std::uint64_t id, std::uint32_t length, std::uint32_t tokens) {
  SequenceSpec spec = text(id, length, HiddenStates::none);
  spec.tokens_max = tokens;
  return spec;
}

std::size_t wanted_rows(const StepPlan& plan) {
  return static_cast<std::size_t>(
      std::count_if(plan.rows.begin(), plan.rows.end(), [](const PlannedRow& row) { return row.wants_hidden; }));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_vectors)

BOOST_AUTO_TEST_CASE(each_kind_has_the_rows_that_it_wants_once_and_no_logits) {
  for (const auto& [hidden, expected] : {std::pair{HiddenStates::all, 70u}, {HiddenStates::last, 1u}}) {
    ConductorDriver driver(small_limits());
    const SequenceSpec spec = text(1, 70, hidden);
    driver.submit(spec);
    std::size_t wanted = 0, rows = 0;
    while (driver.begin()) {
      wanted += wanted_rows(*driver.plan);
      rows += driver.plan->rows.size();
      BOOST_TEST(driver.plan->logits.empty());
      driver.finish();
    }
    BOOST_TEST(wanted == expected);
    BOOST_TEST(rows == 70u);
    driver.require_complete(spec);
    BOOST_TEST((*driver.received[spec.key].finished == FinishReason::length));
    BOOST_TEST(driver.core.load().pages_used == 0u);
  }
}

BOOST_AUTO_TEST_CASE(texts_and_stories_run_beside_each_other) {
  ConductorDriver driver(small_limits());
  const SequenceSpec specs[] = {text(1, 50), story(2, 10, 12), text(3, 1), text(4, 30, HiddenStates::last)};
  for (const SequenceSpec& spec : specs) driver.submit(spec);
  driver.run();
  for (const SequenceSpec& spec : specs) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(every_position_is_computed_though_others_have_computed_it) {
  ConductorDriver driver(small_limits());
  SequenceSpec first = story(1, 70, 1), same = first;
  driver.submit(first);
  driver.run();
  same.key = {9, 2};
  same.tokens_max = 0;
  same.hidden = HiddenStates::all;
  driver.submit(same);
  std::size_t wanted = 0;
  while (driver.begin()) {
    wanted += wanted_rows(*driver.plan);
    driver.finish();
  }
  BOOST_TEST(wanted == 70u);
  driver.require_complete(same);
  // The other way round they share: what its pages hold is what anybody would compute.
  SequenceSpec after = story(1, 70, 3);
  after.key = {9, 3};
  driver.submit(after);
  driver.run();
  driver.require_complete(after);
  BOOST_TEST(driver.core.load().prefix.hit > 0u);
}

BOOST_AUTO_TEST_CASE(a_text_that_moves_or_loses_its_pages_begins_anew) {
  for (const bool kv_valid : {true, false}) {
    ConductorDriver driver(small_limits());
    const SequenceSpec spec = text(1, 70);
    driver.submit(spec);
    driver.step();
    BOOST_TEST(driver.core.find(spec.key)->computed > 0u);
    std::vector<SequenceState> states = driver.core.export_sequences();
    BOOST_TEST(states.front().computed == 0u);
    BOOST_TEST(states.front().pages.empty());
    driver.core = ConductorCore(small_limits());
    BOOST_REQUIRE(driver.core.import_sequences(std::move(states), kv_valid, true));
    driver.watch_anew();
    driver.run();
    driver.require_complete(spec);
  }
  ConductorDriver driver(small_limits());
  const SequenceSpec spec = text(1, 70);
  driver.submit(spec);
  driver.step();
  driver.model.forget();
  driver.core.invalidate_kv();
  driver.watch_anew();
  driver.run();
  driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(a_text_whose_frontend_is_away_waits_with_its_end) {
  ConductorDriver driver(small_limits());
  const SequenceSpec spec = text(1, 20);
  driver.submit(spec);
  BOOST_REQUIRE(driver.begin());
  driver.core.detach(spec.key);
  driver.finish();
  BOOST_TEST(!driver.received.contains(spec.key));
  driver.submit(spec);
  driver.run();
  driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(an_encoder_has_whole_texts_in_a_step_and_shares_nothing) {
  ConductorLimits limits = small_limits();
  limits.whole_sequences = true;
  limits.has_head = false;
  ConductorDriver driver(limits);
  const std::uint32_t lengths[] = {10, 10, 70, 1, 20, 5};
  std::vector<SequenceSpec> specs;
  for (std::uint64_t i = 0; i < std::size(lengths); ++i)
    specs.push_back(text(i, lengths[i], i % 2 == 0 ? HiddenStates::all : HiddenStates::first));
  specs[1].prompt = specs[0].prompt;
  for (const SequenceSpec& spec : specs) driver.submit(spec);
  std::vector<std::size_t> rows;
  while (driver.begin()) {
    for (const PlannedSequence& sequence : driver.plan->sequences) {
      const std::size_t index = static_cast<std::size_t>(sequence.key.low);
      std::size_t own = 0;
      for (const PlannedRow& row : driver.plan->rows) own += &driver.plan->sequences[row.sequence] == &sequence;
      BOOST_TEST(own == specs[index].prompt.size());
    }
    rows.push_back(driver.plan->rows.size());
    driver.finish();
  }
  // Four run at once: 10 + 10 and the text of one token, then the one that is longer than a step, then the rest.
  BOOST_TEST(rows == (std::vector<std::size_t>{21, 70, 20, 5}), boost::test_tools::per_element());
  BOOST_TEST(driver.core.load().prefix.hit == 0u);
  for (const SequenceSpec& spec : specs) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(what_makes_no_sense_is_refused) {
  ConductorCore core(small_limits());
  const auto code_of = [](ConductorCore& of, const SequenceSpec& spec) {
    const auto result = of.submit(spec);
    return result ? std::optional<ErrorCode>() : result.error().code;
  };
  SequenceSpec spec = text(1, 5);
  spec.tokens_max = 1;
  BOOST_TEST((code_of(core, spec) == ErrorCode::invalid_argument));
  spec = text(1, 5);
  spec.score_prompt = true;
  BOOST_TEST((code_of(core, spec) == ErrorCode::invalid_argument));
  BOOST_TEST((code_of(core, text(1, 5, HiddenStates::first)) == ErrorCode::invalid_argument));
  BOOST_TEST((code_of(core, text(1, 201)) == ErrorCode::invalid_argument));
  ConductorLimits limits = small_limits();
  limits.has_head = false;
  ConductorCore encoder(limits);
  BOOST_TEST((code_of(encoder, story(1, 5, 4)) == ErrorCode::unsupported));
  // The same id for something else.
  BOOST_TEST(!code_of(core, text(1, 5)).has_value());
  SequenceSpec other = text(1, 5);
  other.normalised = true;
  BOOST_TEST((code_of(core, other) == ErrorCode::conflict));
  BOOST_TEST((code_of(core, text(1, 5, HiddenStates::last)) == ErrorCode::conflict));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
