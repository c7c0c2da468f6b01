// What a worker measures of its machine before it has any work.
#include "runtime/device/read_speed.hpp"

#include <boost/test/unit_test.hpp>

namespace tessera::test {

BOOST_AUTO_TEST_SUITE(read_speed)

// A sample takes a millisecond. Counted in ticks of four, the best of many is chance: equal cores got unequal shares.
BOOST_AUTO_TEST_CASE(processor_time_is_counted_far_finer_than_a_sample) {
  const double start = thread_cpu_seconds();
  double last = start;
  int steps = 0;
  while (last - start < 0.02) {
    const double now = thread_cpu_seconds();
    BOOST_REQUIRE_GE(now, last);
    steps += now > last ? 1 : 0;
    last = now;
  }
  BOOST_TEST(steps >= 200);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
