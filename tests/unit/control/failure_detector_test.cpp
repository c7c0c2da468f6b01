#include "cluster/control/failure_detector.hpp"

#include <boost/test/unit_test.hpp>

using namespace tessera;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(failure_detector)

namespace {
/// Looks every 50 ms, as its owner does, until `to`.
std::vector<NodeId> look_until(FailureDetector& detector, TimePoint& now, std::chrono::milliseconds time) {
  const TimePoint end = now + time;
  std::vector<NodeId> lost = detector.look(now);
  while (now < end) lost = detector.look(now += 50ms);
  return lost;
}
}  // namespace

BOOST_AUTO_TEST_CASE(a_node_is_lost_after_the_misses_and_not_before) {
  FailureDetector detector({100ms, 6});
  TimePoint now{};
  detector.seen(now, NodeId{1});
  BOOST_TEST(look_until(detector, now, 600ms).empty());
  const auto lost = look_until(detector, now, 50ms);
  BOOST_REQUIRE_EQUAL(lost.size(), 1u);
  BOOST_TEST((lost[0] == NodeId{1}));
}

BOOST_AUTO_TEST_CASE(a_beat_starts_the_wait_again) {
  FailureDetector detector({100ms, 6});
  TimePoint now{};
  detector.seen(now, NodeId{1});
  BOOST_TEST(look_until(detector, now, 550ms).empty());
  detector.seen(now, NodeId{1});
  BOOST_TEST(look_until(detector, now, 600ms).empty());
  BOOST_TEST(look_until(detector, now, 100ms).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_pause_of_the_coordinator_is_nobodys_silence) {
  FailureDetector detector({100ms, 6});
  TimePoint now{};
  detector.seen(now, NodeId{1});
  look_until(detector, now, 300ms);
  now += 10s;
  BOOST_TEST(detector.look(now).empty());
  BOOST_TEST(detector.silence(now, NodeId{1}) == 400ms);
  BOOST_TEST(look_until(detector, now, 300ms).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_forgotten_node_is_not_watched) {
  FailureDetector detector({100ms, 6});
  TimePoint now{};
  detector.seen(now, NodeId{1});
  detector.seen(now, NodeId{2});
  detector.forget(NodeId{1});
  const auto lost = look_until(detector, now, 2s);
  BOOST_REQUIRE_EQUAL(lost.size(), 1u);
  BOOST_TEST((lost[0] == NodeId{2}));
}

BOOST_AUTO_TEST_SUITE_END()
