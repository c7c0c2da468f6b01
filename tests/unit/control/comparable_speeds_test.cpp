#include "cluster/control/comparable_speeds.hpp"

#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

BOOST_AUTO_TEST_SUITE(speeds)

BOOST_AUTO_TEST_CASE(noise_between_equal_nodes_makes_no_difference) {
  const std::vector<double> equal(4, 1.0);
  BOOST_TEST(comparable_speeds(std::vector{9.1e9, 7.4e9, 10e9, 8.8e9}) == equal, boost::test_tools::per_element());
  BOOST_TEST(comparable_speeds(std::vector{1.0, 1.4, 1.0, 0.7}) == equal, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_node_that_is_much_faster_or_slower_than_the_median_stays_so) {
  const std::vector<double> expected{1, 1, 1, 2, 0.25};
  BOOST_TEST(comparable_speeds(std::vector{10.0, 9.0, 11.0, 19.5, 2.4}) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_scale_of_the_speeds_does_not_matter) {
  const std::vector<double> small{1, 2, 1, 4}, large{3e9, 6e9, 3e9, 12e9};
  BOOST_TEST(comparable_speeds(small) == comparable_speeds(large), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(one_node_or_none_is_its_own_median) {
  BOOST_TEST(comparable_speeds(std::vector{7.0}) == std::vector{1.0}, boost::test_tools::per_element());
  BOOST_TEST(comparable_speeds(std::vector<double>{}).empty());
}

BOOST_AUTO_TEST_CASE(of_two_different_nodes_the_slower_one_is_the_measure) {
  const std::vector<double> expected{2, 1};
  BOOST_TEST(comparable_speeds(std::vector{8.0, 4.0}) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
