// Long prompts beside streams: how long the streams wait for a step. Time is a model here: a second for the weights,
// and so much for a row.
#include <algorithm>
#include <map>

#include <boost/test/unit_test.hpp>

#include "runtime/batching/prefill_pace.hpp"
#include "tests/unit/batching/conductor_driver.hpp"
#include "tests/unit/batching/small_sequences.hpp"

namespace tessera {

namespace {

ConductorLimits paced(double stretch_max) {
  ConductorLimits limits;
  limits.context_length = 2048;
  limits.vocab_size = 90;
  limits.pages = 400;
  limits.running_max = 8;
  limits.stretch_max = stretch_max;
  return limits;
}

class Timed {
 public:
  Timed(double stretch_max, double row_seconds) : driver(paced(stretch_max)), row_seconds_(row_seconds) {}
  double seconds(std::size_t rows) const { return 1 + row_seconds_ * static_cast<double>(rows); }
  /// Rows of each sequence in the next step, which is learnt from.
  std::map<std::uint64_t, std::size_t> step() {
    std::map<std::uint64_t, std::size_t> rows;
    BOOST_REQUIRE(driver.begin());
    for (const PlannedRow& row : driver.plan->rows) ++rows[driver.plan->sequences[row.sequence].key.low];
    const auto all = static_cast<std::uint32_t>(driver.plan->rows.size()), decodes = driver.plan->decodes;
    driver.finish();
    driver.core.learn_cost(decodes, all - decodes, seconds(all));
    return rows;
  }
  ConductorDriver driver;

 private:
  double row_seconds_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(conductor_pace)

BOOST_AUTO_TEST_CASE(a_long_prompt_stretches_the_steps_of_streams_by_the_bound_and_no_more) {
  Timed timed(1.8, 0.04);
  for (std::uint64_t id = 1; id <= 4; ++id) timed.driver.submit(sequence_of(id, 30, 400));
  for (int i = 0; i < 20; ++i) timed.step();
  timed.driver.submit(sequence_of(9, 1900, 5));
  std::size_t steps = 0, rows = 0;
  while (rows < 1900) {
    const auto step = timed.step();
    rows += step.at(9);
    ++steps;
    BOOST_TEST(step.size() == 5u);
    if (rows < 1900) BOOST_TEST(timed.seconds(4 + step.at(9)) <= 1.85 * timed.seconds(4));
  }
  // It gets what the bound leaves it, once the rows' cost is known.
  BOOST_TEST(steps < 1.2 * 1900 / (0.8 * timed.seconds(4) / 0.04));
}

BOOST_AUTO_TEST_CASE(without_a_bound_or_streams_a_prompt_gets_whole_steps) {
  for (const bool streams : {true, false}) {
    Timed timed(streams ? 0 : 1.8, 0.04);
    if (streams) timed.driver.submit(sequence_of(1, 30, 400));
    for (int i = 0; streams && i < 5; ++i) timed.step();
    timed.driver.submit(sequence_of(9, 1900, 5));
    BOOST_TEST(timed.step().at(9) == (streams ? 511u : 512u));
  }
}

BOOST_AUTO_TEST_CASE(a_short_prompt_is_computed_at_once_also_beside_a_long_one) {
  Timed timed(1.8, 0.04);
  timed.driver.submit(sequence_of(1, 30, 400));
  for (int i = 0; i < 20; ++i) timed.step();
  timed.driver.submit(sequence_of(8, 1000, 5));
  timed.step();
  timed.driver.submit(sequence_of(9, 60, 5));
  const auto step = timed.step();
  BOOST_TEST(step.at(9) == 60u);
  BOOST_TEST(step.at(8) == 1u);  // the short one used up what the streams bear; nobody stops altogether
  BOOST_TEST(timed.step().at(8) > 8u);
}

BOOST_AUTO_TEST_CASE(long_prompts_share_what_the_streams_bear) {
  Timed timed(1.8, 0.04);
  timed.driver.submit(sequence_of(1, 30, 400));
  for (int i = 0; i < 20; ++i) timed.step();
  for (std::uint64_t id = 7; id <= 9; ++id) timed.driver.submit(sequence_of(id, 900, 5));
  timed.step();
  const auto step = timed.step();
  const auto [least, most] = std::minmax({step.at(7), step.at(8), step.at(9)});
  BOOST_TEST(most - least <= 1u);
  BOOST_TEST(least > 2u);
  BOOST_TEST(timed.seconds(1 + step.at(7) + step.at(8) + step.at(9)) <= 1.85 * timed.seconds(1));
}

BOOST_AUTO_TEST_CASE(the_last_rows_of_a_long_prompt_are_bounded_too) {
  Timed timed(1.8, 0.04);
  timed.driver.submit(sequence_of(1, 30, 400));
  for (int i = 0; i < 20; ++i) timed.step();
  timed.driver.submit(sequence_of(9, 200, 5));
  std::size_t rows = 0;
  while (rows < 200) {
    const std::size_t step = timed.step().at(9);
    BOOST_TEST(step <= PrefillPace::rows_unmeasured);
    rows += step;
  }
}

BOOST_AUTO_TEST_CASE(a_rows_cost_is_learnt_from_steps_with_and_without_streams) {
  StepCost cost;
  PrefillPace pace;
  BOOST_TEST(pace.rows(4, 2, cost) == PrefillPace::rows_unmeasured);
  pace.add(4, 100, 5, cost);  // without the cost of the streams it tells nothing
  BOOST_TEST(pace.rows(4, 2, cost) == PrefillPace::rows_unmeasured);
  for (int i = 0; i < 3; ++i) cost.add(4, 1);
  pace.add(4, 100, 5, cost);
  BOOST_TEST(pace.rows(4, 2, cost) == 25u);
  BOOST_TEST(pace.rows(4, 3, cost) == 50u);
  for (int i = 0; i < 60; ++i) pace.add(0, 500, 10, cost);
  BOOST_TEST(pace.rows(4, 2, cost) >= 48u);
  pace.add(4, 10, 1000, cost);  // something else on the machine
  BOOST_TEST(pace.rows(4, 2, cost) >= 35u);
  for (int i = 0; i < 60; ++i) pace.add(4, 100, 1000, cost);
  BOOST_TEST(pace.rows(4, 2, cost) == PrefillPace::rows_min);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
