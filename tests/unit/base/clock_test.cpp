#include "runtime/base/clock.hpp"

#include <cstdlib>
#include <ctime>
#include <string>

#include <boost/test/unit_test.hpp>

using namespace tessera;
using std::chrono::local_seconds;
using std::chrono::seconds;
using std::chrono::sys_seconds;

BOOST_AUTO_TEST_SUITE(clocks)

BOOST_AUTO_TEST_CASE(local_time_is_that_of_the_zone) {
  const char* const before = std::getenv("TZ");
  const std::string zone = before != nullptr ? before : "";
  ::setenv("TZ", "XYZ-2", 1);  // two hours east
  ::tzset();
  BOOST_TEST((local_time(sys_seconds(seconds(0))) == local_seconds(seconds(7200))));
  ::setenv("TZ", "UTC0", 1);
  ::tzset();
  BOOST_TEST((local_time(sys_seconds(seconds(1785585907))) == local_seconds(seconds(1785585907))));
  before != nullptr ? ::setenv("TZ", zone.c_str(), 1) : ::unsetenv("TZ");
  ::tzset();
}

BOOST_AUTO_TEST_SUITE_END()
