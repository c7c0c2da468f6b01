#include "runtime/base/most_crowded.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/log_limit.hpp"

using namespace tessera;

BOOST_AUTO_TEST_SUITE(crowds)

std::size_t found_in(const std::vector<std::string>& places) {
  const auto found = find_most_crowded(places, [](const std::string& place) -> std::string_view { return place; });
  return static_cast<std::size_t>(found - places.begin());
}

BOOST_AUTO_TEST_CASE(whoever_has_most_places_loses_the_oldest) {
  BOOST_TEST(found_in({"a"}) == 0u);
  BOOST_TEST(found_in({"a", "b", "b"}) == 1u);
  BOOST_TEST(found_in({"b", "a", "c", "a", "b", "a"}) == 1u);
}

BOOST_AUTO_TEST_CASE(of_equals_the_one_that_waited_longest_does) {
  BOOST_TEST(found_in({"a", "b", "c"}) == 0u);
  BOOST_TEST(found_in({"c", "b", "a", "a", "b"}) == 1u);
}

BOOST_AUTO_TEST_CASE(a_flood_from_one_place_never_takes_the_place_of_another) {
  std::vector<std::string> places{"friend"};
  for (int i = 0; i < 1000; ++i) {
    if (places.size() == 8) places.erase(places.begin() + static_cast<std::ptrdiff_t>(found_in(places)));
    places.push_back("flood");
  }
  BOOST_TEST(places.front() == "friend");
}

BOOST_AUTO_TEST_CASE(lines_come_at_their_interval_and_say_how_many_were_left_out) {
  using std::chrono::milliseconds;
  LogLimit limit(milliseconds(100));
  ManualClock clock;
  BOOST_TEST((limit.pass(clock.now()) == std::uint64_t{0}));
  BOOST_TEST(!limit.pass(clock.now()));
  clock.advance(milliseconds(99));
  BOOST_TEST(!limit.pass(clock.now()));
  clock.advance(milliseconds(1));
  BOOST_TEST((limit.pass(clock.now()) == std::uint64_t{2}));
  BOOST_TEST(others_text(2) == " (and 2 others before)");
  BOOST_TEST(others_text(0).empty());
}

BOOST_AUTO_TEST_SUITE_END()
