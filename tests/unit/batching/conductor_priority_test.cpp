// Who goes first, who loses its pages first, and that nobody waits for ever.
#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "tests/unit/batching/conductor_driver.hpp"
#include "tests/unit/batching/small_sequences.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t page = kv_page_positions;

SequenceSpec spec_of(std::uint64_t id, std::int32_t priority, std::uint32_t tokens_max = 1, std::uint32_t prompt = 3) {
  SequenceSpec spec = sequence_of(id, prompt, tokens_max);
  spec.priority = priority;
  return spec;
}

/// Serves one at a time to the end; its id.
std::uint64_t serve_one(ConductorDriver& driver) {
  BOOST_REQUIRE(driver.begin());
  BOOST_REQUIRE_EQUAL(driver.plan->sequences.size(), 1u);
  const std::uint64_t id = driver.plan->sequences.front().key.low;
  driver.finish();
  BOOST_REQUIRE(!driver.core.find({5, id}));
  return id;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_priority)

BOOST_AUTO_TEST_CASE(the_earliest_priority_goes_first_and_equals_take_turns_by_tenant_and_arrival) {
  ConductorDriver driver(few_pages(16, 1));
  SequenceSpec other = spec_of(5, -2);
  other.tenant_salt = "other";
  for (const SequenceSpec& spec : {spec_of(1, 0), spec_of(2, 3), spec_of(3, -2), spec_of(4, -2), other, spec_of(6, 0)})
    driver.submit(spec);
  for (const std::uint64_t id : {3u, 4u, 5u, 1u, 6u, 2u}) BOOST_CHECK_EQUAL(serve_one(driver), id);
}

BOOST_AUTO_TEST_CASE(tenants_take_turns_within_a_priority) {
  ConductorDriver driver(few_pages(16, 2));
  SequenceSpec other = spec_of(4, -1, 20);
  other.tenant_salt = "other";
  for (const SequenceSpec& spec : {spec_of(1, 0, 20), spec_of(2, -1, 20), spec_of(3, -1, 20), other})
    driver.submit(spec);
  BOOST_REQUIRE(driver.begin());
  std::set<std::uint64_t> ids;
  for (const PlannedSequence& sequence : driver.plan->sequences) ids.insert(sequence.key.low);
  BOOST_CHECK((ids == std::set<std::uint64_t>{2, 4}));
}

BOOST_AUTO_TEST_CASE(a_late_priority_waits_for_at_most_sixteen_others) {
  ConductorDriver driver(few_pages(16, 1));
  std::uint64_t next = 100;
  driver.submit(spec_of(next++, 0));
  driver.submit(spec_of(1, 7));
  driver.submit(spec_of(2, 9));
  std::vector<std::uint64_t> served;
  while (driver.core.find({5, 1}) || driver.core.find({5, 2})) {
    driver.submit(spec_of(next++, 0));
    served.push_back(serve_one(driver));
    BOOST_REQUIRE_LT(served.size(), 100u);
  }
  const auto place = [&](std::uint64_t id) { return std::find(served.begin(), served.end(), id) - served.begin(); };
  // The first one was of the earlier priority and its turn; then sixteen pass the one that came second, and again.
  BOOST_CHECK_EQUAL(place(1), 17);
  BOOST_CHECK_EQUAL(place(2), 34);
}

/// The bound, in random lives: by turn is by arrival here.
BOOST_AUTO_TEST_CASE(of_any_passed_max_and_one_admissions_one_goes_by_turn) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    std::uint32_t drawn = 0;
    const auto below = [&](std::uint32_t bound) { return philox(philox_key(seed), {drawn++, 0, 0, 0})[0] % bound; };
    ConductorLimits limits = few_pages(16, 1);
    limits.passed_max = below(6);
    ConductorDriver driver(limits);
    std::map<std::uint64_t, std::int32_t> waiting;
    std::uint64_t next = 1;
    std::uint32_t passed = 0, longest = 0;
    for (int i = 0; i < 200; ++i) {
      for (std::uint32_t count = below(4) + (waiting.empty() ? 1 : 0); count > 0; --count, ++next) {
        waiting[next] = static_cast<std::int32_t>(below(5));
        driver.submit(spec_of(next, waiting[next]));
      }
      const std::uint64_t id = serve_one(driver);
      const bool by_turn = waiting.begin()->first == id;
      const auto earliest = std::min_element(waiting.begin(), waiting.end(),
                                             [](const auto& a, const auto& b) { return a.second < b.second; });
      BOOST_REQUIRE(by_turn || (earliest->first == id && passed < limits.passed_max));
      passed = by_turn ? 0 : passed + 1;
      longest = std::max(longest, passed);
      waiting.erase(id);
    }
    BOOST_REQUIRE_EQUAL(longest, limits.passed_max);
  }
}

BOOST_AUTO_TEST_CASE(the_latest_priority_loses_its_pages_first_and_not_for_ever) {
  ConductorLimits limits = few_pages(8, 8);
  limits.losses_max = 1;  // it would be twice
  ConductorDriver driver(limits);
  const SequenceSpec late = spec_of(1, 5, 7 * page);
  driver.submit(late);
  for (int i = 0; i < 2 * static_cast<int>(page); ++i) BOOST_REQUIRE(driver.step());
  std::vector<SequenceSpec> early;
  std::uint32_t losses = 0;
  bool ran = true;
  for (std::uint64_t id = 2; driver.core.find(late.key); ++id) {
    BOOST_REQUIRE_LT(id, 400u);
    if (driver.core.keys().size() < 3) {
      early.push_back(spec_of(id, 0, 4 * page - 3));
      driver.submit(early.back());
    }
    for (int i = 0; i < 9 && driver.step(); ++i) {
      const auto view = driver.core.find(late.key);
      if (view && ran && !view->running) ++losses;
      ran = view && view->running;
    }
  }
  driver.run();
  driver.require_complete(late);
  for (const SequenceSpec& spec : early) driver.require_complete(spec);
  // It was there first, and would never have lost a page.
  BOOST_CHECK_EQUAL(losses, 1u);
}

BOOST_AUTO_TEST_CASE(a_frontend_that_comes_back_brings_its_priority) {
  ConductorDriver driver(few_pages(16, 1));
  driver.submit(spec_of(1, 0, 30));
  BOOST_REQUIRE(driver.step());
  driver.submit(spec_of(2, 0));
  driver.submit(spec_of(3, 0));
  driver.core.detach({5, 3});
  driver.submit(spec_of(3, -1));
  std::vector<std::uint64_t> order;
  while (driver.begin()) {
    order.push_back(driver.plan->sequences.front().key.low);
    driver.finish();
  }
  BOOST_CHECK(std::find(order.begin(), order.end(), 3u) < std::find(order.begin(), order.end(), 2u));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
