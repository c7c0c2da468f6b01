#include "cluster/executor/lease_desk.hpp"

#include <vector>

#include <boost/test/unit_test.hpp>

#include "cluster/executor/step_meter.hpp"

namespace tessera::test {

BOOST_AUTO_TEST_SUITE(lease_desk)

BOOST_AUTO_TEST_CASE(tickets_are_granted_in_the_order_in_which_they_were_asked_for) {
  LeaseDesk desk;
  std::vector<int> granted;
  const LeaseTicket a = desk.request([&] { granted.push_back(1); });
  const LeaseTicket b = desk.request([&] { granted.push_back(2); });
  const LeaseTicket c = desk.request([&] { granted.push_back(3); });
  BOOST_TEST(granted == (std::vector<int>{1}));
  desk.release(a);
  desk.release(a);
  BOOST_TEST(granted == (std::vector<int>{1, 2}));
  desk.release(b);
  desk.release(c);
  BOOST_TEST(granted == (std::vector<int>{1, 2, 3}));
  BOOST_TEST(desk.length() == 0u);
}

BOOST_AUTO_TEST_CASE(a_ticket_that_is_given_up_in_the_line_is_never_granted) {
  LeaseDesk desk;
  std::vector<int> granted;
  const LeaseTicket a = desk.request([&] { granted.push_back(1); });
  const LeaseTicket b = desk.request([&] { granted.push_back(2); });
  desk.request([&] { granted.push_back(3); });
  desk.release(b);
  desk.release(a);
  BOOST_TEST(granted == (std::vector<int>{1, 3}));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(step_meter)

BOOST_AUTO_TEST_CASE(median_and_wait_share_are_of_the_last_steps) {
  StepMeter meter;
  ManualClock clock;
  BOOST_TEST(meter.median_seconds() == 0);
  for (int i = 0; i < 100; ++i) meter.add(clock.now(), 9, 9, 0);
  for (std::size_t i = 0; i < StepMeter::steps_kept; ++i) meter.add(clock.now(), i < 40 ? 2 : 4, 1, 1);
  BOOST_TEST(meter.median_seconds() == 2);
  BOOST_TEST(meter.wait_share() == 64.0 / (40 * 2 + 24 * 4), boost::test_tools::tolerance(1e-9));
}

BOOST_AUTO_TEST_CASE(the_token_rate_forgets_what_is_older_than_its_window) {
  StepMeter meter;
  ManualClock clock;
  meter.add(clock.now(), 1, 0, 50);
  BOOST_TEST(meter.tokens_per_second(clock.now()) == 10);
  clock.advance(std::chrono::seconds(6));
  BOOST_TEST(meter.tokens_per_second(clock.now()) == 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
