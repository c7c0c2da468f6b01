#include "cluster/executor/step_report.hpp"

#include <chrono>

#include <boost/test/unit_test.hpp>

namespace tessera::test {

namespace {

TimePoint at(double seconds) {
  return TimePoint{} + std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

StepStatistics step(std::uint64_t epoch, double seconds) {
  StepStatistics step;
  step.epoch = Epoch{epoch};
  step.rows = 4;
  step.tokens = 2;
  step.seconds = seconds;
  step.wait_seconds = seconds / 4;
  step.lease_seconds = seconds;
  return step;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(step_report)

BOOST_AUTO_TEST_CASE(a_report_covers_the_steps_since_the_last_one) {
  StepReport report(ReplicaId{3}, at(0));
  BOOST_TEST(!report.take(at(1)));
  for (int i = 1; i <= 100; ++i) report.add(at(1), step(7, 0.001 * i));
  const auto metrics = report.take(at(2));
  BOOST_REQUIRE(metrics);
  BOOST_TEST((metrics->replica == ReplicaId{3} && metrics->epoch == Epoch{7}));
  BOOST_TEST(metrics->steps == 100u);
  BOOST_TEST(metrics->rows == 400u);
  BOOST_TEST(metrics->tokens == 200u);
  BOOST_TEST(metrics->seconds == 1.0);
  BOOST_TEST(metrics->step_seconds_median == 0.050);
  BOOST_TEST(metrics->step_seconds_p99 == 0.099);
  BOOST_TEST(metrics->wait_share == 0.25);
  BOOST_TEST(metrics->lease_share == 0.5);
  BOOST_TEST(!report.take(at(3)));
}

BOOST_AUTO_TEST_CASE(a_new_epoch_begins_anew) {
  StepReport report(ReplicaId{3}, at(0));
  report.add(at(1), step(7, 1));
  report.add(at(2), step(8, 2));
  const auto metrics = report.take(at(4));
  BOOST_REQUIRE(metrics);
  BOOST_TEST((metrics->epoch == Epoch{8}));
  BOOST_TEST(metrics->steps == 1u);
  BOOST_TEST(metrics->seconds == 2.0);
}

BOOST_AUTO_TEST_CASE(more_steps_than_it_keeps_are_counted_all_the_same) {
  StepReport report(ReplicaId{3}, at(0));
  for (std::size_t i = 0; i < StepReport::times_max; ++i) report.add(at(1), step(7, 1));
  for (std::size_t i = 0; i < StepReport::times_max; ++i) report.add(at(1), step(7, 2));
  const auto metrics = report.take(at(2));
  BOOST_REQUIRE(metrics);
  BOOST_TEST(metrics->steps == 2 * StepReport::times_max);
  BOOST_TEST(metrics->step_seconds_median == 2.0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
