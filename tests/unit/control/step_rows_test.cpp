#include "cluster/control/step_rows.hpp"

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"

namespace tessera::test {

BOOST_AUTO_TEST_SUITE(step_rows)

BOOST_AUTO_TEST_CASE(steps_are_counted_by_the_smallest_bound_that_holds_their_rows) {
  StepRows counted;
  for (const std::uint32_t rows : {1u, 2u, 3u, 4u, 512u, 513u}) counted.add(rows);
  BOOST_TEST(counted.steps[0] == 1u);
  BOOST_TEST(counted.steps[1] == 1u);
  BOOST_TEST(counted.steps[2] == 2u);
  BOOST_TEST(counted.steps[9] == 1u);
  BOOST_TEST(counted.steps[10] == 1u);
  BOOST_TEST(counted.rows == 1035u);
  BOOST_TEST(StepRows::bounds.back() == limits::step_rows_max);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
