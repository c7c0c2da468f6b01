// Sequences that begin alike share pages, and nobody can tell by their tokens. The driver checks on the way that pages
// hold what the sequences believe, and that nobody writes a page that another one has.
#include <numeric>
#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/conductor_driver.hpp"
#include "tests/unit/batching/small_sequences.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t page = kv_page_positions;

ConductorLimits limits_of(std::uint32_t pages) {
  ConductorLimits limits = few_pages(pages);
  limits.context_length = 16 * page;
  limits.rows_max = 4 * page;
  limits.logits_rows_max = 48;
  return limits;
}

/// `shared` tokens that all have, then `own` ones of this id.
SequenceSpec spec_of(std::uint64_t id, std::uint32_t shared, std::uint32_t own, std::uint32_t tokens_max = 5) {
  SequenceSpec spec;
  spec.key = {5, id};
  for (std::uint32_t i = 0; i < shared; ++i) spec.prompt.push_back(static_cast<TokenId>((i * 13 + i / 7) % 90));
  for (std::uint32_t i = 0; i < own; ++i) spec.prompt.push_back(static_cast<TokenId>((id * 31 + i * i) % 90));
  spec.tokens_max = tokens_max;
  return spec;
}

/// Runs to the end; the rows that were computed.
std::size_t run_rows(ConductorDriver& driver) {
  std::size_t rows = 0;
  while (driver.begin()) {
    rows += driver.plan->rows.size();
    driver.finish();
  }
  driver.take();
  return rows;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_prefix)

BOOST_AUTO_TEST_CASE(a_second_request_computes_only_what_the_first_has_not) {
  ConductorDriver driver(limits_of(20));
  const SequenceSpec first = spec_of(1, 3 * page, 7), second = spec_of(2, 3 * page, 9);
  driver.submit(first);
  BOOST_CHECK_EQUAL(run_rows(driver), 3 * page + 7 + 4);  // the last token is not fed back
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
  BOOST_CHECK_EQUAL(driver.core.load().pages_cached, 3u);
  driver.submit(second);
  BOOST_CHECK_EQUAL(run_rows(driver), 9u + 4);
  for (const SequenceSpec& spec : {first, second}) driver.require_complete(spec);
  const PrefixCounts counts = driver.core.load().prefix;
  BOOST_CHECK_EQUAL(counts.queried, 3u * page + 6 + 3 * page + 8);
  BOOST_CHECK_EQUAL(counts.hit, 3u * page);
  BOOST_CHECK_EQUAL(driver.received.at(first.key).cached_tokens, 0u);
  BOOST_CHECK_EQUAL(driver.received.at(second.key).cached_tokens, 3u * page);
}

BOOST_AUTO_TEST_CASE(the_last_token_of_a_prompt_is_always_computed) {
  for (const std::uint32_t length : {1u, page - 1, page, page + 1, 2 * page - 1, 2 * page, 2 * page + 1}) {
    ConductorDriver driver(limits_of(20));
    SequenceSpec first = spec_of(1, length, 0, 1), second = spec_of(2, length, 0, 1);
    driver.submit(first);
    run_rows(driver);
    driver.submit(second);
    BOOST_CHECK_EQUAL(run_rows(driver), length - (length - 1) / page * page);
    driver.require_complete(second);
  }
}

BOOST_AUTO_TEST_CASE(generated_tokens_are_shared_as_those_of_prompts_are) {
  ConductorDriver driver(limits_of(20));
  const SequenceSpec first = spec_of(1, 10, 0, 2 * page);
  driver.submit(first);
  run_rows(driver);
  // The next turn of a conversation.
  SequenceSpec next = spec_of(2, 10, 0, 4);
  for (const LogitsResult& token : driver.received.at(first.key).tokens) next.prompt.push_back(token.token);
  next.prompt.push_back(3);
  driver.submit(next);
  BOOST_CHECK_EQUAL(run_rows(driver), 10u + 1 + 3);  // 74 tokens and one more, of which 64 are known
  driver.require_complete(next);
}

BOOST_AUTO_TEST_CASE(a_prompt_that_is_scored_is_computed_and_helps_others) {
  ConductorDriver driver(limits_of(20));
  SequenceSpec plain = spec_of(1, 2 * page + 5, 0), scored = spec_of(2, 2 * page + 5, 0),
               last = spec_of(3, 2 * page + 5, 0);
  scored.score_prompt = true;
  driver.submit(plain);
  run_rows(driver);
  driver.submit(scored);
  BOOST_CHECK_EQUAL(run_rows(driver), 2u * page + 5 + 4);
  BOOST_CHECK_EQUAL(driver.core.load().prefix.hit, 0u);
  driver.require_complete(scored);

  ConductorDriver other(limits_of(20));
  other.submit(scored);
  run_rows(other);
  other.submit(last);
  BOOST_CHECK_EQUAL(run_rows(other), 5u + 4);
  other.require_complete(last);
}

BOOST_AUTO_TEST_CASE(a_replay_behind_known_scores_needs_the_logits_of_the_others_only) {
  ConductorLimits limits = limits_of(20);
  limits.logits_rows_max = limits.running_max;
  ConductorDriver driver(limits);
  SequenceSpec scored = spec_of(1, 3 * page, 1), plain = spec_of(2, 2 * page, 1);
  scored.score_prompt = true;
  driver.submit(scored);
  while (driver.received[scored.key].scores.size() < page + page / 2) driver.step();
  driver.model.forget();
  driver.core.invalidate_kv();
  driver.submit(plain);
  driver.run();
  for (const SequenceSpec& spec : {scored, plain}) driver.require_complete(spec);
  BOOST_CHECK_GE(driver.core.load().prefix.hit, page);  // one page, of whoever was second
}

BOOST_AUTO_TEST_CASE(choices_that_run_at_the_same_time_compute_their_prompt_once) {
  ConductorDriver driver(limits_of(40));
  std::vector<SequenceSpec> choices;
  for (std::uint64_t id = 1; id <= 4; ++id) {
    choices.push_back(spec_of(id, 5 * page + 3, 0, 2 * page));
    driver.submit(choices.back());
  }
  const std::size_t prompts = (5 * page + 3) + 3 * 3, outputs = 4 * (2 * page - 1);
  std::size_t rows = 0;
  std::uint32_t pages_used = 0;
  while (driver.begin()) {
    rows += driver.plan->rows.size();
    driver.finish();
    pages_used = std::max(pages_used, driver.core.load().pages_used);
  }
  BOOST_CHECK_EQUAL(rows, prompts + outputs);
  // The hash model gives all choices the same tokens: two more pages are shared once they are full. The first choice is
  // a step ahead, and gone when the others begin their last page.
  BOOST_CHECK_EQUAL(pages_used, 5u + 2 + 3);
  for (const SequenceSpec& spec : choices) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(a_sequence_takes_over_what_another_one_computes_beside_it) {
  ConductorLimits limits = limits_of(20);
  limits.rows_max = 8;
  ConductorDriver driver(limits);
  const SequenceSpec first = spec_of(1, 2 * page, 4), second = spec_of(2, 2 * page, 6);
  driver.submit(first);
  for (int i = 0; i < 5; ++i) driver.step();  // 40 positions
  driver.submit(second);
  BOOST_REQUIRE(driver.begin());
  // The first page is known, the second one is left to the other.
  BOOST_REQUIRE_EQUAL(driver.plan->sequences.size(), 1u);
  BOOST_CHECK(driver.plan->sequences[0].key == first.key);
  BOOST_CHECK_EQUAL(driver.core.find(second.key)->computed, page);
  driver.finish();
  BOOST_CHECK_EQUAL(48u + run_rows(driver), 2u * page + 4 + 4 + 6 + 4);
  for (const SequenceSpec& spec : {first, second}) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(whoever_waits_goes_on_alone_when_the_other_leaves) {
  for (const bool detached : {false, true}) {
    ConductorLimits limits = limits_of(20);
    limits.rows_max = 8;
    ConductorDriver driver(limits);
    const SequenceSpec first = spec_of(1, 2 * page, 4), second = spec_of(2, 2 * page, 6);
    driver.submit(first);
    driver.submit(second);
    for (int i = 0; i < 6; ++i) driver.step();  // one page and a half
    BOOST_CHECK_EQUAL(driver.core.find(second.key)->computed, page);
    if (detached) {
      driver.core.detach(first.key);
    } else {
      driver.core.cancel(first.key);
    }
    BOOST_CHECK_EQUAL(run_rows(driver), page + 6 + 4);
    driver.require_complete(second);
  }
}

BOOST_AUTO_TEST_CASE(tenants_share_nothing) {
  ConductorDriver driver(limits_of(20));
  SequenceSpec mine = spec_of(1, 2 * page, 3), theirs = spec_of(2, 2 * page, 3), beside = spec_of(3, 2 * page, 3);
  mine.tenant_salt = "a";
  theirs.tenant_salt = "b";
  driver.submit(mine);
  run_rows(driver);
  driver.submit(theirs);
  driver.submit(beside);
  BOOST_CHECK_EQUAL(run_rows(driver), 2 * (2 * page + 3 + 4));
  BOOST_CHECK_EQUAL(driver.core.load().prefix.hit, 0u);
  for (const SequenceSpec& spec : {mine, theirs, beside}) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(another_tenant_cannot_come_back_to_a_stream) {
  ConductorDriver driver(limits_of(20));
  SequenceSpec spec = spec_of(1, 2 * page, 3);
  driver.submit(spec);
  spec.tenant_salt = "b";
  const auto refused = driver.core.submit(spec);
  BOOST_REQUIRE(!refused);
  BOOST_CHECK(refused.error().code == ErrorCode::conflict);
}

BOOST_AUTO_TEST_CASE(what_nobody_used_for_longest_makes_room) {
  ConductorDriver driver(limits_of(8));
  const SequenceSpec old = spec_of(1, 0, 3 * page + 1, 1), young = spec_of(2, 0, 3 * page + 1, 1);
  for (const SequenceSpec& spec : {old, young}) {
    driver.submit(spec);
    run_rows(driver);
  }
  BOOST_CHECK_EQUAL(driver.core.load().pages_cached, 6u);
  const SequenceSpec third = spec_of(3, 0, 3 * page + 1, 1);
  driver.submit(third);
  run_rows(driver);
  // The last two pages of the old one are gone.
  BOOST_CHECK_EQUAL(driver.core.load().pages_cached, 7u);
  SequenceSpec young_again = young, old_again = old;
  young_again.key = {6, 1};
  old_again.key = {6, 2};
  driver.submit(young_again);
  BOOST_CHECK_EQUAL(run_rows(driver), 1u);
  driver.submit(old_again);
  BOOST_CHECK_EQUAL(run_rows(driver), 2 * page + 1);
  for (const SequenceSpec& spec : {old, young, third, young_again, old_again}) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(a_page_that_is_shared_counts_once) {
  // Each needs 5 pages; without sharing only one would fit.
  ConductorDriver driver(limits_of(8));
  const SequenceSpec first = spec_of(1, 4 * page, 2);
  driver.submit(first);
  run_rows(driver);
  std::vector<SequenceSpec> all = {first};
  for (std::uint64_t id = 2; id <= 6; ++id) {
    all.push_back(spec_of(id, 4 * page, 3));
    driver.submit(all.back());
  }
  BOOST_REQUIRE(driver.begin());
  BOOST_CHECK_EQUAL(driver.core.load().running, 4u);
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 8u);
  driver.finish();
  driver.run();
  for (const SequenceSpec& spec : all) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(pages_of_a_detached_sequence_stay_and_are_shared) {
  ConductorDriver driver(limits_of(6));
  const SequenceSpec away = spec_of(1, 2 * page, 3, 20);
  driver.submit(away);
  for (int i = 0; i < 3; ++i) driver.step();
  driver.core.detach(away.key);
  const SequenceSpec other = spec_of(2, 0, 2 * page + 1, 1), alike = spec_of(3, 2 * page, 9);
  driver.submit(other);
  run_rows(driver);
  driver.submit(alike);
  BOOST_CHECK_EQUAL(run_rows(driver), 9u + 4);
  SequenceSpec back = away;
  for (const LogitsResult& token : driver.received[away.key].tokens) back.delivered.push_back(token.token);
  driver.submit(back);
  driver.run();
  for (const SequenceSpec& spec : {away, other, alike}) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(lost_pages_are_shared_no_more_and_what_is_replayed_is) {
  ConductorDriver driver(limits_of(40));
  std::vector<SequenceSpec> specs;
  for (std::uint64_t id = 1; id <= 4; ++id) {
    specs.push_back(spec_of(id, 3 * page, 2, 9));
    driver.submit(specs.back());
  }
  while (driver.received[specs.back().key].tokens.size() < 3) driver.step();
  driver.model.forget();
  driver.core.invalidate_kv();
  BOOST_CHECK_EQUAL(driver.core.load().pages_cached, 0u);
  BOOST_REQUIRE(driver.begin());
  // One of them computes the shared pages again.
  BOOST_CHECK_EQUAL(driver.plan->sequences.size(), 1u);
  driver.finish();
  driver.run();
  for (const SequenceSpec& spec : specs) driver.require_complete(spec);
}

BOOST_AUTO_TEST_CASE(an_abandoned_step_leaves_nothing_that_is_shared) {
  ConductorDriver driver(limits_of(20));
  const SequenceSpec first = spec_of(1, 2 * page, 3), second = spec_of(2, 2 * page, 5);
  driver.submit(first);
  BOOST_REQUIRE(driver.begin());
  driver.core.step_abandoned();
  driver.submit(second);
  driver.core.cancel(first.key);
  BOOST_CHECK_EQUAL(driver.core.load().pages_cached, 0u);
  BOOST_CHECK_EQUAL(run_rows(driver), 2 * page + 5 + 4);
  driver.require_complete(second);
}

BOOST_AUTO_TEST_CASE(a_sequence_that_is_cancelled_during_a_step_leaves_what_was_full_before) {
  ConductorLimits limits = limits_of(20);
  limits.rows_max = page;
  ConductorDriver driver(limits);
  const SequenceSpec first = spec_of(1, 3 * page, 3), second = spec_of(2, 3 * page, 5);
  driver.submit(first);
  driver.step();
  BOOST_REQUIRE(driver.begin());
  driver.core.cancel(first.key);
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 2u);
  driver.finish();
  BOOST_CHECK_EQUAL(driver.core.load().pages_used, 0u);
  BOOST_CHECK_EQUAL(driver.core.load().pages_cached, 1u);
  driver.submit(second);
  BOOST_CHECK_EQUAL(run_rows(driver), 2 * page + 5 + 4);
  driver.require_complete(second);
}

BOOST_AUTO_TEST_CASE(shared_pages_are_handed_over_as_what_they_are) {
  ConductorDriver from(limits_of(20)), to(limits_of(20));
  std::vector<SequenceSpec> specs;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    specs.push_back(spec_of(id, 4 * page, 2, 9));
    from.submit(specs.back());
  }
  while (from.received[specs.back().key].tokens.size() < 3) from.step();
  const std::uint32_t used = from.core.load().pages_used;
  BOOST_CHECK_EQUAL(used, 4u + 3);
  std::vector<SequenceState> states = from.core.export_sequences();
  BOOST_CHECK(states[0].pages[0] == states[1].pages[0]);
  BOOST_CHECK_EQUAL(from.core.load().pages_used + from.core.load().pages_cached, 0u);
  to.model = from.model;
  to.received = from.received;
  BOOST_REQUIRE(to.core.import_sequences(states, true, true));
  BOOST_CHECK_EQUAL(to.core.load().pages_used, used);
  const SequenceSpec late = spec_of(9, 4 * page, 6);
  to.submit(late);
  BOOST_REQUIRE(to.begin());
  for (const PlannedRow& row : to.plan->rows) BOOST_CHECK_GE(row.position, 4 * page);
  to.finish();
  to.run();
  specs.push_back(late);
  for (const SequenceSpec& spec : specs) to.require_complete(spec);
  BOOST_CHECK_EQUAL(to.core.load().pages_used, 0u);

  // A page cannot hold what two sequences say differently, nor what is still to be written.
  const auto refused = [&](auto&& spoil) {
    std::vector<SequenceState> spoiled = states;
    spoil(spoiled);
    ConductorCore core(limits_of(20));
    const auto result = core.import_sequences(std::move(spoiled), true, true);
    BOOST_REQUIRE(!result);
    BOOST_CHECK(result.error().code == ErrorCode::corrupt);
    BOOST_CHECK_EQUAL(core.load().pages_used + core.load().pages_cached, 0u);
  };
  refused([](auto& s) { s[1].spec.prompt[40] = 1 - s[1].spec.prompt[40] % 2; });
  refused([](auto& s) { s[1].spec.tenant_salt = "b"; });
  refused([](auto& s) { s[1].pages[4] = s[0].pages[4]; });
  refused([](auto& s) { std::swap(s[1].pages[0], s[1].pages[1]); });
  refused([](auto& s) { s[0].computed = 3 * page + 9; });
}

BOOST_AUTO_TEST_CASE(a_smaller_cache_keeps_whom_it_can_and_the_others_share_with_them) {
  ConductorDriver from(limits_of(20)), to(limits_of(7));
  std::vector<SequenceSpec> specs;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    specs.push_back(spec_of(id, 2 * page, 2, 3 * page));
    from.submit(specs.back());
  }
  while (from.received[specs.back().key].tokens.size() < 3) from.step();
  to.model = from.model;
  to.received = from.received;
  BOOST_REQUIRE(to.core.import_sequences(from.core.export_sequences(), true, true));
  to.run();
  for (const SequenceSpec& spec : specs) to.require_complete(spec);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
