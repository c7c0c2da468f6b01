// More sequences run than could all come to their ends at once; who is in the way loses its pages, and no bit changes.
#include <set>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/conductor_driver.hpp"
#include "tests/unit/batching/small_sequences.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t page = kv_page_positions;

/// The ids that the next step serves.
std::set<std::uint64_t> step_ids(ConductorDriver& driver) {
  std::set<std::uint64_t> ids;
  BOOST_REQUIRE(driver.begin());
  for (const PlannedSequence& sequence : driver.plan->sequences) ids.insert(sequence.key.low);
  driver.finish();
  return ids;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_preemption)

BOOST_AUTO_TEST_CASE(a_token_that_came_while_its_frontend_was_away_may_need_a_page_more) {
  for (const std::uint32_t pages : {4u, 2u}) {
    ConductorLimits limits = few_pages(pages);
    limits.running_max = 1;
    ConductorDriver driver(limits);
    const SequenceSpec first = sequence_of(1, page - 1, 20), second = sequence_of(2, 3, 8);
    driver.submit(first);
    driver.step();
    // It comes from another conductor with the pages that it has, and no more.
    std::vector<SequenceState> states = driver.core.export_sequences();
    driver.core = ConductorCore(limits);
    BOOST_REQUIRE(driver.core.import_sequences(std::move(states), true, true));
    driver.watch_anew();
    BOOST_REQUIRE(driver.begin());
    driver.core.detach(first.key);
    driver.finish();
    driver.submit(second);
    driver.step();
    SequenceSpec again = first;
    for (const LogitsResult& token : driver.received[first.key].tokens) again.delivered.push_back(token.token);
    driver.submit(again);  // waits: the other one runs
    driver.run();
    driver.require_complete(first);
    driver.require_complete(second);
  }
}

BOOST_AUTO_TEST_CASE(more_run_than_their_worst_cases_allow_and_all_are_right) {
  ConductorDriver driver(few_pages(10));
  std::vector<SequenceSpec> specs;
  for (std::uint64_t id = 1; id <= 4; ++id) {
    specs.push_back(sequence_of(id, 3, 6 * page));
    driver.submit(specs.back());
  }
  BOOST_CHECK(step_ids(driver) == (std::set<std::uint64_t>{1, 2, 3, 4}));
  driver.run();
  for (const SequenceSpec& spec : specs) driver.require_complete(spec);
  BOOST_CHECK_GT(driver.core.load().preempted, 0u);
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
}

BOOST_AUTO_TEST_CASE(requests_that_stay_short_are_not_preempted) {
  ConductorDriver driver(few_pages(8));
  for (std::uint64_t id = 1; id <= 4; ++id) {
    SequenceSpec spec = sequence_of(id, 3, 7 * page);  // 28 pages in the worst case
    spec.end_tokens = {driver.model.reference(spec, 8 * page).tokens.at(20).token};
    driver.submit(spec);
  }
  BOOST_CHECK(step_ids(driver) == (std::set<std::uint64_t>{1, 2, 3, 4}));
  driver.run();
  BOOST_CHECK_EQUAL(driver.core.load().preempted, 0u);
}

BOOST_AUTO_TEST_CASE(who_was_admitted_first_is_in_every_step_and_the_last_one_loses_its_pages) {
  ConductorDriver driver(few_pages(6));
  const SequenceSpec first = sequence_of(1, 3, 5 * page), second = sequence_of(2, 3, 5 * page),
                     third = sequence_of(3, 3, 5 * page);
  for (const SequenceSpec& spec : {first, second, third}) driver.submit(spec);
  std::vector<std::set<std::uint64_t>> phases;
  while (!driver.received[third.key].finished) {
    const std::set<std::uint64_t> ids = step_ids(driver);
    if (phases.empty() || phases.back() != ids) phases.push_back(ids);
    BOOST_REQUIRE(ids.contains(1) || driver.received[first.key].finished);
  }
  // Six pages are two for each of three, three for each of two; who comes back wants those it had and one more.
  const std::vector<std::set<std::uint64_t>> expected = {{1, 2, 3}, {1, 2}, {1}, {2}, {3}};
  BOOST_CHECK(phases == expected);
  for (const SequenceSpec& spec : {first, second, third}) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(who_was_preempted_goes_before_those_who_came_later) {
  ConductorDriver driver(few_pages(6));
  const SequenceSpec first = sequence_of(1, 3, 4 * page), second = sequence_of(2, 3, 4 * page),
                     late = sequence_of(3, 3, 2);
  driver.submit(first);
  driver.submit(second);
  while (driver.core.load().preempted == 0) driver.step();
  driver.submit(late);
  BOOST_CHECK(step_ids(driver) == (std::set<std::uint64_t>{1}));
  BOOST_CHECK_EQUAL(driver.core.load().waiting, 2u);
  BOOST_CHECK(driver.core.waiting() == std::vector<SequenceKey>{late.key});
  while (!driver.received[late.key].finished) {
    BOOST_REQUIRE(driver.received[first.key].finished || driver.received[late.key].tokens.empty());
    BOOST_REQUIRE(driver.step());
  }
  BOOST_CHECK(!driver.received[second.key].finished);
  driver.run();
  for (const SequenceSpec& spec : {first, second, late}) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(detached_sequences_lose_their_pages_before_any_that_runs) {
  ConductorDriver driver(few_pages(6));
  const SequenceSpec away = sequence_of(1, 3, 80), one = sequence_of(2, 3, 80), two = sequence_of(3, 3, 80);
  for (const SequenceSpec& spec : {away, one, two}) driver.submit(spec);
  for (int i = 0; i < 5; ++i) driver.step();
  driver.core.detach(away.key);
  while (!driver.received[two.key].finished) BOOST_CHECK(step_ids(driver) == (std::set<std::uint64_t>{2, 3}));
  BOOST_CHECK_EQUAL(driver.core.load().preempted, 1u);
  BOOST_CHECK(driver.core.detached() == std::vector<SequenceKey>{away.key});
  SequenceSpec back = away;
  for (const LogitsResult& token : driver.received[away.key].tokens) back.delivered.push_back(token.token);
  driver.submit(back);
  driver.run();
  for (const SequenceSpec& spec : {away, one, two}) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(a_preempted_sequence_finds_again_what_nobody_has_overwritten) {
  ConductorDriver driver(few_pages(7));
  const SequenceSpec first = sequence_of(1, 3, 2 * page), second = sequence_of(2, 3 * page + 5, 90);
  driver.submit(first);
  driver.submit(second);
  while (driver.core.load().preempted == 0) BOOST_REQUIRE(driver.step());
  driver.core.cancel(first.key);
  BOOST_REQUIRE(driver.begin());
  for (const PlannedRow& row : driver.plan->rows) BOOST_CHECK_GE(row.position, 3 * page);
  driver.finish();
  driver.run();
  driver.require_complete(second);
}

BOOST_AUTO_TEST_CASE(scores_that_are_known_are_not_computed_again) {
  ConductorLimits limits = few_pages(7);
  limits.running_max = limits.logits_rows_max = 2;
  ConductorDriver driver(limits);
  SequenceSpec first = sequence_of(1, 20, 3 * page), scored = sequence_of(2, 4 * page - 8, 2);
  scored.score_prompt = true;
  driver.submit(first);
  for (int i = 0; i < 2; ++i) driver.step();
  driver.submit(scored);
  driver.run();
  BOOST_CHECK_GT(driver.core.load().preempted, 0u);
  for (const SequenceSpec& spec : {first, scored}) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(a_preempted_sequence_is_handed_over_without_pages) {
  ConductorDriver from(few_pages(6)), to(few_pages(12));
  const SequenceSpec first = sequence_of(1, 3, 4 * page), second = sequence_of(2, 3, 4 * page);
  from.submit(first);
  from.submit(second);
  while (from.core.load().preempted == 0) from.step();
  std::vector<SequenceState> states = from.core.export_sequences();
  BOOST_REQUIRE_EQUAL(states.size(), 2u);
  BOOST_CHECK(states[1].spec.key == second.key && states[1].pages.empty() && states[1].computed == 0);
  to.model = from.model;
  to.received = from.received;
  BOOST_REQUIRE(to.core.import_sequences(std::move(states), true, true));
  BOOST_CHECK(step_ids(to) == (std::set<std::uint64_t>{1, 2}));
  to.run();
  for (const SequenceSpec& spec : {first, second}) to.require_complete(spec);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
