#include "runtime/base/decimal.hpp"

#include <cmath>
#include <limits>

#include <boost/test/unit_test.hpp>

using namespace tessera;

BOOST_AUTO_TEST_SUITE(decimal)

BOOST_AUTO_TEST_CASE(a_float_becomes_the_decimal_that_a_person_writes) {
  BOOST_TEST(decimal_of(-1.25f) == -1.25);
  BOOST_TEST(decimal_of(0.1f) == 0.1);
  BOOST_TEST(decimal_of(1e-5f) == 1e-5);
  BOOST_TEST(decimal_of(16777216.0f) == 16777216.0);
  BOOST_TEST(std::signbit(decimal_of(-0.0f)));
}

BOOST_AUTO_TEST_CASE(no_bit_is_lost) {
  using Limits = std::numeric_limits<float>;
  for (const float value :
       {Limits::min(), Limits::denorm_min(), Limits::max(), -3.4028233e38f, 1.1754942e-38f, 0.33333334f})
    BOOST_TEST(static_cast<float>(decimal_of(value)) == value);
  BOOST_TEST(std::isinf(decimal_of(Limits::infinity())));
  BOOST_TEST(std::isnan(decimal_of(Limits::quiet_NaN())));
}

BOOST_AUTO_TEST_SUITE_END()
