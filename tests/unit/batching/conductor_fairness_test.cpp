// Who gets the rows of a step. The driver checks at every step that decodes have theirs, and after it that nobody
// starves.
#include <map>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/unit/batching/conductor_driver.hpp"

namespace tessera {

namespace {

ConductorLimits limits_of(std::uint32_t rows_max, std::uint32_t logits_rows_max = 8) {
  ConductorLimits limits;
  limits.context_length = 1024;
  limits.vocab_size = 90;
  limits.pages = 400;
  limits.rows_max = rows_max;
  limits.logits_rows_max = logits_rows_max;
  limits.running_max = 8;
  return limits;
}

SequenceSpec spec_of(std::uint64_t id, std::uint32_t prompt, std::uint32_t tokens_max = 40) {
  SequenceSpec spec;
  spec.key = {0, id};
  for (std::uint32_t i = 0; i < prompt; ++i) spec.prompt.push_back(static_cast<TokenId>((id * 7 + i * 3) % 90));
  spec.tokens_max = tokens_max;
  return spec;
}

/// Rows of each sequence in the next step, by the low half of its key.
using Rows = std::map<std::uint64_t, std::size_t>;
Rows step_rows(ConductorDriver& driver) {
  Rows rows;
  BOOST_REQUIRE(driver.begin());
  for (const PlannedRow& row : driver.plan->rows) ++rows[driver.plan->sequences[row.sequence].key.low];
  driver.finish();
  return rows;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_fairness)

BOOST_AUTO_TEST_CASE(a_long_prompt_does_not_hold_up_a_short_one) {
  ConductorDriver driver(limits_of(16));
  BOOST_REQUIRE(driver.core.submit(spec_of(1, 900)));
  for (int i = 0; i < 3; ++i) BOOST_CHECK(step_rows(driver) == (Rows{{1, 16}}));
  BOOST_REQUIRE(driver.core.submit(spec_of(2, 20)));
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 8}, {2, 8}}));
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 8}, {2, 8}}));
  // What the short one does not need goes to the long one.
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 12}, {2, 4}}));
  BOOST_CHECK_EQUAL(driver.received[spec_of(2, 20).key].tokens.size(), 1u);
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 15}, {2, 1}}));
}

BOOST_AUTO_TEST_CASE(shares_are_equal_whatever_the_order_of_arrival) {
  ConductorDriver driver(limits_of(30));
  for (const auto& [id, prompt] : {std::pair{1u, 500u}, {2u, 300u}, {3u, 4u}, {4u, 700u}})
    BOOST_REQUIRE(driver.core.submit(spec_of(id, prompt)));
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 9}, {2, 8}, {3, 4}, {4, 9}}));
}

BOOST_AUTO_TEST_CASE(with_as_many_sequences_as_rows_each_has_one) {
  ConductorDriver driver(limits_of(8));
  Rows ones;
  for (std::uint64_t id = 1; id <= 8; ++id) {
    BOOST_REQUIRE(driver.core.submit(spec_of(id, id % 2 == 0 ? 1 : 50)));
    ones[id] = 1;
  }
  for (int i = 0; i < 20; ++i) BOOST_CHECK(step_rows(driver) == ones);
}

BOOST_AUTO_TEST_CASE(prompts_that_are_scored_leave_logits_to_the_others) {
  ConductorDriver driver(limits_of(64, 8));
  for (std::uint64_t id = 1; id <= 7; ++id) {
    SequenceSpec spec = spec_of(id, 60);
    spec.score_prompt = id <= 5;
    BOOST_REQUIRE(driver.core.submit(spec));
  }
  SequenceSpec decodes = spec_of(8, 1);
  BOOST_REQUIRE(driver.core.submit(decodes));
  // Five scored prompts have one row of logits each, and so have those that come to their end.
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 29}, {7, 29}, {8, 1}}));
  driver.run();
  for (std::uint64_t id = 1; id <= 5; ++id) BOOST_CHECK_EQUAL(driver.received[spec_of(id, 60).key].scores.size(), 59u);
}

BOOST_AUTO_TEST_CASE(whoever_waits_for_others_that_are_cancelled_one_after_the_other_does_not_wait_for_ever) {
  ConductorDriver driver(limits_of(8));
  const auto alike = [](std::uint64_t id) {
    SequenceSpec spec = spec_of(1, 600);
    spec.key.low = id;
    return spec;
  };
  for (std::uint64_t id = 1; id <= 8; ++id) BOOST_REQUIRE(driver.core.submit(alike(id)));
  std::uint32_t steps = 0;
  // The one that is in front leaves before its page is full, and another one comes.
  for (std::uint64_t front = 1; driver.core.find({0, 8})->computed == 0 && steps <= kv_page_positions; ++steps) {
    BOOST_REQUIRE(step_rows(driver) == (Rows{{front, 8}}));
    if (steps % 3 != 2) continue;
    driver.core.cancel({0, front});
    BOOST_REQUIRE(driver.core.submit(alike(front + 100)));
    ++front;
  }
  BOOST_CHECK_EQUAL(steps, 7u * 3 + 1);
  BOOST_CHECK_EQUAL(driver.longest_stall, 7u * 3 - 1);
}

BOOST_AUTO_TEST_CASE(a_tenant_of_which_fewer_run_goes_before_one_that_came_first) {
  ConductorLimits limits = limits_of(16);
  limits.running_max = 3;
  ConductorDriver driver(limits);
  const auto submit = [&](std::uint64_t id, const std::string& tenant) {
    SequenceSpec spec = spec_of(id, 1, id < 4 ? 6 : 3);
    spec.tenant_salt = tenant;
    BOOST_REQUIRE(driver.core.submit(spec));
  };
  for (std::uint64_t id = 1; id <= 5; ++id) submit(id, "many");
  submit(6, "few");
  submit(7, "few");
  submit(8, "");
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 1}, {6, 1}, {8, 1}}));
  for (int i = 0; i < 2; ++i) step_rows(driver);
  // 6 and 8 have ended: of "many" one runs, of "few" none.
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 1}, {2, 1}, {7, 1}}));
  driver.run();
  BOOST_CHECK_EQUAL(driver.received.size(), 8u);
}

BOOST_AUTO_TEST_CASE(a_request_that_is_too_large_now_waits_in_front_of_other_tenants_once_none_of_its_own_runs) {
  ConductorLimits limits = limits_of(16);
  limits.pages = 4;
  ConductorDriver driver(limits);
  const auto submit = [&](std::uint64_t id, std::uint32_t prompt, std::uint32_t tokens_max, const std::string& tenant) {
    SequenceSpec spec = spec_of(id, prompt, tokens_max);
    spec.tenant_salt = tenant;
    BOOST_REQUIRE(driver.core.submit(spec));
  };
  submit(1, 1, 4, "a");
  submit(2, 3 * kv_page_positions + 1, 8, "a");
  submit(3, 1, 8, "b");
  BOOST_CHECK(step_rows(driver) == (Rows{{1, 1}, {3, 1}}));
  for (int i = 0; i < 3; ++i) step_rows(driver);
  submit(4, 1, 8, "b");
  submit(5, 1, 8, "c");
  BOOST_CHECK(step_rows(driver) == (Rows{{3, 1}}));
  BOOST_CHECK(driver.core.waiting() == (std::vector<SequenceKey>{{0, 2}, {0, 4}, {0, 5}}));
  driver.run();
  BOOST_CHECK_EQUAL(driver.received.size(), 5u);
}

BOOST_AUTO_TEST_CASE(whoever_has_begun_does_not_count_as_waiting) {
  ConductorLimits limits = limits_of(16);
  limits.running_max = 1;
  ConductorDriver driver(limits);
  for (std::uint64_t id = 1; id <= 2; ++id) BOOST_REQUIRE(driver.core.submit(spec_of(id, 3)));
  SequenceSpec resumed = spec_of(3, 3);
  const LogitsResult delivered = driver.model.reference(resumed, 1024).tokens[0];
  resumed.delivered = {delivered.token};
  driver.received[resumed.key].tokens = {delivered};
  BOOST_REQUIRE(driver.core.submit(resumed));
  driver.step();
  BOOST_CHECK(driver.core.waiting() == (std::vector<SequenceKey>{{0, 1}, {0, 2}}));
  driver.core.fail({0, 2}, Error{ErrorCode::exhausted, "too late"});
  driver.core.fail({0, 9}, Error{ErrorCode::exhausted, "nobody"});
  const auto updates = driver.core.take_updates();
  BOOST_REQUIRE_EQUAL(updates.size(), 1u);
  BOOST_CHECK(updates[0].key == (SequenceKey{0, 2}));
  BOOST_REQUIRE(updates[0].failed);
  BOOST_CHECK_EQUAL(updates[0].failed->message, "too late");
  BOOST_CHECK(!driver.core.find({0, 2}));
  driver.core.invalidate_kv();
  BOOST_CHECK(driver.core.waiting() == (std::vector<SequenceKey>{{0, 1}}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
