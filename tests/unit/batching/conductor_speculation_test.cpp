// Drafts: what they may use, when they are tried, and what becomes of those that are wrong. That no stream ever has
// another token for them is in conductor_property_test.cpp too.
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/conductor_driver.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t page = kv_page_positions;

ConductorLimits limits_of(std::uint32_t pages) {
  ConductorLimits limits;
  limits.context_length = 8 * page;
  limits.vocab_size = 20;
  limits.pages = pages;
  limits.rows_max = 48;
  limits.logits_rows_max = 24;
  limits.running_max = 8;
  limits.drafts_max = 8;
  return limits;
}

SequenceSpec spec_of(std::uint64_t id, std::uint32_t prompt, std::uint32_t tokens_max) {
  SequenceSpec spec;
  spec.key = {4, id};
  for (std::uint32_t i = 0; i < prompt; ++i) spec.prompt.push_back(static_cast<TokenId>((id * 7 + i * 3) % 20));
  spec.tokens_max = tokens_max;
  spec.alternatives = 2;
  return spec;
}

std::uint32_t drafts_in(const StepPlan& plan) {
  std::uint32_t drafts = 0;
  for (const PlannedLogits& wanted : plan.logits) drafts += wanted.draft ? 1 : 0;
  return drafts;
}

/// Where rows cost nothing, everything that is guessed is tried.
void make_rows_free(ConductorCore& core) {
  for (std::uint32_t rows = 1; rows <= core.limits().logits_rows_max; ++rows) core.learn_cost(rows, 0, 1);
}

void make_rows_dear(ConductorCore& core) {
  for (std::uint32_t rows = 1; rows <= core.limits().logits_rows_max; ++rows)
    core.learn_cost(rows, 0, 1 + 0.5 * (rows - 1));
}

/// Of all steps until the end.
struct Run {
  std::uint32_t steps = 0, drafts = 0, drafts_most = 0;
};
Run run(ConductorDriver& driver, double row_seconds) {
  Run result;
  while (driver.begin()) {
    ++result.steps;
    const std::uint32_t drafts = drafts_in(*driver.plan);
    result.drafts += drafts;
    result.drafts_most = std::max(result.drafts_most, drafts);
    const auto rows = static_cast<std::uint32_t>(driver.plan->rows.size());
    if (rows == driver.plan->logits.size()) driver.core.learn_cost(rows, 0, 1 + row_seconds * (rows - 1));
    driver.finish();
  }
  driver.take();
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_speculation)

BOOST_AUTO_TEST_CASE(a_text_that_repeats_itself_needs_fewer_steps_and_has_the_same_tokens) {
  ConductorDriver driver(limits_of(10), true);
  const SequenceSpec spec = spec_of(1, 40, 200);
  driver.submit(spec);
  const Run drafted = run(driver, 0.05);
  driver.require_complete(spec);
  const SpeculationCounts counts = driver.core.load().speculation;
  BOOST_CHECK_LT(drafted.steps, 150u);
  BOOST_CHECK_EQUAL(counts.drafted, drafted.drafts);
  // One step for the prompt; every other one gives a token more than it has drafts that are right.
  BOOST_CHECK_EQUAL(counts.accepted, 200u - drafted.steps);
}

BOOST_AUTO_TEST_CASE(where_rows_are_dear_there_are_no_drafts_once_that_is_known) {
  ConductorDriver driver(limits_of(10), true);
  const SequenceSpec spec = spec_of(1, 40, 200);
  driver.submit(spec);
  const Run dear = run(driver, 5);
  driver.require_complete(spec);
  BOOST_CHECK_GT(dear.drafts, 0u);
  BOOST_CHECK_EQUAL(dear.drafts, dear.drafts_most);  // one step
}

BOOST_AUTO_TEST_CASE(a_text_that_does_not_repeat_itself_gets_few_drafts) {
  ConductorDriver driver(limits_of(10), false);
  const SequenceSpec spec = spec_of(1, 40, 200);
  driver.submit(spec);
  const Run random = run(driver, 0.1);
  driver.require_complete(spec);
  BOOST_CHECK_LE(random.drafts, 8u);
}

BOOST_AUTO_TEST_CASE(a_text_that_begins_to_repeat_itself_gets_drafts_though_rows_are_dear) {
  // One chance in ten would not be worth half a step: that it is more shows without a draft.
  ConductorDriver driver(limits_of(10), true);
  make_rows_dear(driver.core);
  const SequenceSpec spec = spec_of(1, 40, 200);
  driver.submit(spec);
  const Run half = run(driver, 0.5);
  driver.require_complete(spec);
  BOOST_CHECK_GT(half.drafts, 10u);
  BOOST_CHECK_LT(half.steps, 195u);
}

BOOST_AUTO_TEST_CASE(without_leave_there_is_no_draft) {
  ConductorLimits limits = limits_of(10);
  limits.drafts_max = 0;
  ConductorDriver driver(limits, true);
  driver.submit(spec_of(1, 40, 200));
  BOOST_CHECK_EQUAL(run(driver, 0).drafts, 0u);
}

BOOST_AUTO_TEST_CASE(drafts_take_no_row_that_a_prompt_can_use) {
  ConductorDriver driver(limits_of(16), true);
  make_rows_free(driver.core);
  const SequenceSpec copies = spec_of(1, 20, 230), prompt = spec_of(2, 200, 5);
  driver.submit(copies);
  for (int i = 0; i < 20; ++i) BOOST_REQUIRE(driver.step());
  BOOST_REQUIRE_GT(driver.core.load().speculation.accepted, 0u);
  driver.submit(prompt);
  // 200 = 47 + 47 + 47 + 47 + 12: in the last of these steps there is room for drafts again.
  for (int i = 0; i < 4; ++i) {
    BOOST_REQUIRE(driver.begin());
    BOOST_CHECK_EQUAL(drafts_in(*driver.plan), 0u);
    BOOST_CHECK_EQUAL(driver.plan->rows.size(), 48u);
    driver.finish();
  }
  BOOST_REQUIRE(driver.begin());
  BOOST_CHECK_EQUAL(driver.plan->rows.size(), 13u + drafts_in(*driver.plan));
  driver.finish();
  driver.run();
  driver.require_complete(copies);
  driver.require_complete(prompt);
}

BOOST_AUTO_TEST_CASE(nobody_is_preempted_or_kept_waiting_for_a_draft) {
  // Three pages of each: eight pages are too few for what all of them want in the end, with and without drafts.
  std::uint64_t preempted[2] = {};
  for (const bool speculates : {false, true}) {
    ConductorLimits limits = limits_of(8);
    if (!speculates) limits.drafts_max = 0;
    ConductorDriver driver(limits, true);
    make_rows_free(driver.core);
    std::vector<SequenceSpec> specs;
    for (std::uint64_t id = 1; id <= 3; ++id) {
      specs.push_back(spec_of(id, 20, 76));
      driver.submit(specs.back());
    }
    driver.run();
    for (const SequenceSpec& spec : specs) driver.require_complete(spec);
    preempted[speculates] = driver.core.load().preempted;
  }
  BOOST_CHECK_LE(preempted[1], preempted[0]);
}

BOOST_AUTO_TEST_CASE(a_page_borrowed_for_drafts_that_are_wrong_is_given_back) {
  ConductorDriver driver(limits_of(6), true);
  make_rows_free(driver.core);
  const SequenceSpec spec = spec_of(1, 20, 120);
  driver.submit(spec);
  std::uint32_t borrowed = 0;
  while (driver.begin()) {
    const auto begun = driver.core.find(spec.key);
    const auto history = static_cast<std::uint32_t>(begun->spec->prompt.size() + begun->generated.size());
    const std::uint32_t used = driver.core.load().pages_used;
    const bool has_more = used > pages_for(history) && used > 2;
    borrowed += has_more ? 1 : 0;
    if (has_more && borrowed % 2 == 0) {
      driver.core.step_abandoned();
      driver.plan.reset();
      BOOST_REQUIRE_LT(driver.core.load().pages_used, used);
      continue;
    }
    driver.finish();
    const auto view = driver.core.find(spec.key);
    if (!view) break;
    const auto now = static_cast<std::uint32_t>(view->spec->prompt.size() + view->generated.size());
    BOOST_REQUIRE_LE(driver.core.load().pages_used, std::max(2u, pages_for(now)));
  }
  driver.take();
  driver.require_complete(spec);
  BOOST_CHECK_GT(borrowed, 1u);
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
}

BOOST_AUTO_TEST_CASE(an_end_token_ends_a_stream_in_the_middle_of_its_drafts) {
  std::uint32_t in_the_middle = 0;
  for (std::uint64_t id = 1; id <= 40; ++id) {
    ConductorDriver driver(limits_of(10), true);
    make_rows_free(driver.core);
    SequenceSpec spec = spec_of(id, 30, 150);
    // One that comes late.
    const HashModel::Reference reference = driver.model.reference(spec, 8 * page);
    spec.end_tokens = {reference.tokens[100].token};
    driver.submit(spec);
    while (driver.begin()) {
      const std::uint32_t drafts = drafts_in(*driver.plan);
      for (const PlannedLogits& wanted : driver.plan->logits)
        BOOST_REQUIRE(!wanted.draft || *wanted.draft != spec.end_tokens.front());
      driver.finish();
      if (!driver.core.find(spec.key) && drafts > 0) ++in_the_middle;
    }
    driver.take();
    driver.require_complete(spec);
  }
  BOOST_CHECK_GT(in_the_middle, 0u);
}

BOOST_AUTO_TEST_CASE(pages_filled_through_drafts_are_shared_and_hold_no_wrong_draft) {
  ConductorDriver driver(limits_of(16), true);
  make_rows_free(driver.core);
  const SequenceSpec first = spec_of(1, 20, 150);
  driver.submit(first);
  driver.run();
  BOOST_REQUIRE_GT(driver.core.load().speculation.drafted, driver.core.load().speculation.accepted);
  // The next turn of the same conversation: what was generated is its beginning. The driver looks into the pages.
  SequenceSpec second = spec_of(1, 20, 40);
  second.key.low = 2;
  for (const LogitsResult& token : driver.received[first.key].tokens) second.prompt.push_back(token.token);
  driver.submit(second);
  driver.run();
  driver.require_complete(second);
  BOOST_CHECK_EQUAL(driver.received[second.key].cached_tokens, 160u);
}

BOOST_AUTO_TEST_CASE(a_frontend_that_comes_back_ahead_during_a_step_with_drafts_gets_the_right_tokens) {
  ConductorDriver driver(limits_of(10), true);
  make_rows_free(driver.core);
  SequenceSpec spec = spec_of(1, 30, 120);
  driver.submit(spec);
  const HashModel::Reference reference = driver.model.reference(spec, 8 * page);
  std::uint32_t returns = 0;
  while (driver.begin()) {
    const auto known = driver.core.find(spec.key)->generated.size();
    if (drafts_in(*driver.plan) > 2 && returns < 5 && known + 2 < 120) {
      ++returns;
      SequenceSpec back = spec;
      for (std::size_t i = 0; i < known + 2; ++i) back.delivered.push_back(reference.tokens[i].token);
      driver.received[spec.key].tokens.assign(reference.tokens.begin(),
                                              reference.tokens.begin() + static_cast<std::ptrdiff_t>(known + 2));
      driver.submit(back);
    }
    driver.finish();
  }
  driver.take();
  driver.require_complete(spec);
  BOOST_CHECK_EQUAL(returns, 5u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
