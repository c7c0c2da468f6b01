// The elementary functions against long double libm, and bit for bit against golden values.
#include "runtime/base/exact_math.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <pmmintrin.h>
#include <xmmintrin.h>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"

namespace {

using namespace tessera;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double ulp_max = 1.0;  // the interface promises 4
constexpr std::uint32_t points = 50'000;

/// Distance of `value` from `truth` in units of the last place of a double of that size.
double ulps(double value, long double truth) {
  if (!std::isfinite(value)) return infinity;
  int exponent = 0;
  std::frexp(truth, &exponent);
  return static_cast<double>(std::fabs(value - truth) / std::ldexp(1.0L, exponent - 53));
}

/// Point `index` of the input grid `grid`, uniform in [low, high): the same on every machine.
double grid_point(std::uint32_t grid, std::uint32_t index, double low, double high) {
  return low + (high - low) * uniform_double({grid, 0}, {index, 0, 0, 0});
}

/// A power of two times a uniform number, so that all magnitudes occur.
double wide_grid_point(std::uint32_t grid, std::uint32_t index, int exponent_min, int exponent_max) {
  const double mantissa = grid_point(grid, index, -1.0, 1.0);
  const auto span = static_cast<std::uint32_t>(exponent_max - exponent_min + 1);
  return std::ldexp(mantissa, exponent_min + static_cast<int>(index % span));
}

/// FNV-1a over the bits of results.
class Hash {
 public:
  void add(double value) {
    for (int byte = 0; byte < 8; ++byte) {
      state_ ^= std::bit_cast<std::uint64_t>(value) >> (8 * byte) & 0xFF;
      state_ *= 0x100000001B3;
    }
  }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xCBF29CE484222325;
};

struct Hashes {
  std::uint64_t exp, log, pow, sincos;
};

Hashes golden_grid_hashes() {
  Hash exp, log, pow, sincos;
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    exp.add(exact::exp(grid_point(1, i, -700.0, 700.0)));
    exp.add(exact::exp(wide_grid_point(2, i, -40, 9)));
    log.add(exact::log(std::fabs(wide_grid_point(3, i, -1000, 1000))));
    log.add(exact::log(grid_point(4, i, 0.5, 2.0)));
    pow.add(exact::pow(grid_point(5, i, 1e-3, 1e6), grid_point(6, i, -40.0, 40.0)));
    const exact::SinCos both = exact::sincos(wide_grid_point(7, i, -30, 26));
    sincos.add(both.sin);
    sincos.add(both.cos);
  }
  return {exp.value(), log.value(), pow.value(), sincos.value()};
}

void check_golden(const Hashes& hashes) {
  BOOST_TEST(hashes.exp == 0x4B52616BF7353359u);
  BOOST_TEST(hashes.log == 0x79B6689BD36D7A32u);
  BOOST_TEST(hashes.pow == 0x2533C8070D4C91DDu);
  BOOST_TEST(hashes.sincos == 0xF63587553C204BF0u);
}

BOOST_AUTO_TEST_SUITE(exact_math)

BOOST_AUTO_TEST_CASE(exp_is_within_an_ulp) {
  double worst = 0;
  for (std::uint32_t i = 0; i < points; ++i) {
    for (const double x : {grid_point(11, i, -700.0, 700.0), wide_grid_point(12, i, -60, 9)}) {
      worst = std::max(worst, ulps(exact::exp(x), std::exp(static_cast<long double>(x))));
    }
  }
  BOOST_TEST(worst < ulp_max);
}

BOOST_AUTO_TEST_CASE(log_is_within_an_ulp_also_near_one) {
  double worst = 0;
  for (std::uint32_t i = 0; i < points; ++i) {
    for (const double x : {std::fabs(wide_grid_point(13, i, -1000, 1000)), grid_point(14, i, 0.5, 2.0),
                           1.0 + wide_grid_point(15, i, -52, -1)}) {
      worst = std::max(worst, ulps(exact::log(x), std::log(static_cast<long double>(x))));
    }
  }
  BOOST_TEST(worst < ulp_max);
}

BOOST_AUTO_TEST_CASE(pow_is_within_an_ulp_up_to_the_largest_powers) {
  double worst = 0;
  for (std::uint32_t i = 0; i < points; ++i) {
    const double base = 1.0 + std::fabs(wide_grid_point(16, i, -20, 40));
    const double exponent = grid_point(17, i, -699.0, 699.0) / std::log(base);
    worst = std::max(worst, ulps(exact::pow(base, exponent), std::pow(static_cast<long double>(base), exponent)));
  }
  BOOST_TEST(worst < ulp_max);
}

BOOST_AUTO_TEST_CASE(sin_and_cos_are_within_an_ulp_over_the_whole_range) {
  double worst = 0;
  for (std::uint32_t i = 0; i < points; ++i) {
    // The second kind lies as close to a multiple of pi/2 as doubles allow, where reduction cancels most.
    const double multiple = std::floor(grid_point(19, i, 1.0, 4.2e7));
    const auto near_zero = static_cast<double>(multiple * 1.57079632679489661923132169163975144L);
    for (const double x : {wide_grid_point(18, i, -40, 26), near_zero}) {
      const exact::SinCos both = exact::sincos(x);
      worst = std::max({worst, ulps(both.sin, std::sin(static_cast<long double>(x))),
                        ulps(both.cos, std::cos(static_cast<long double>(x)))});
    }
  }
  BOOST_TEST(worst < ulp_max);
}

BOOST_AUTO_TEST_CASE(exp_has_exact_and_limiting_values) {
  BOOST_TEST(exact::exp(0.0) == 1.0);
  BOOST_TEST(exact::exp(700.5) == infinity);
  BOOST_TEST(exact::exp(infinity) == infinity);
  BOOST_TEST(exact::exp(-700.5) == 0.0);
  BOOST_TEST(exact::exp(-infinity) == 0.0);
  BOOST_TEST(std::isnan(exact::exp(not_a_number)));
}

BOOST_AUTO_TEST_CASE(log_has_exact_and_limiting_values) {
  BOOST_TEST(exact::log(1.0) == 0.0);
  BOOST_TEST(exact::log(0.0) == -infinity);
  BOOST_TEST(exact::log(-0.0) == -infinity);
  BOOST_TEST(exact::log(infinity) == infinity);
  BOOST_TEST(std::isnan(exact::log(-1.0)));
  BOOST_TEST(std::isnan(exact::log(-infinity)));
  BOOST_TEST(std::isnan(exact::log(not_a_number)));
  const double denormal = std::numeric_limits<double>::denorm_min() * 12345;
  BOOST_TEST(ulps(exact::log(denormal), std::log(static_cast<long double>(denormal))) < ulp_max);
}

BOOST_AUTO_TEST_CASE(pow_has_exact_and_limiting_values) {
  BOOST_TEST(exact::pow(10000.0, 0.0) == 1.0);
  BOOST_TEST(exact::pow(1.0, 1e300) == 1.0);
  BOOST_TEST(exact::pow(2.0, 10.0) == 1024.0);
  BOOST_TEST(exact::pow(2.0, 1e308) == infinity);
  BOOST_TEST(exact::pow(2.0, -1e308) == 0.0);
  for (const double base : {0.0, -0.0, -2.0, infinity, not_a_number}) BOOST_TEST(std::isnan(exact::pow(base, 2.0)));
  BOOST_TEST(std::isnan(exact::pow(2.0, not_a_number)));
}

BOOST_AUTO_TEST_CASE(sincos_is_exact_at_zero_and_refuses_what_it_cannot_reduce) {
  BOOST_TEST(exact::sincos(0.0).sin == 0.0);
  BOOST_TEST(exact::sincos(0.0).cos == 1.0);
  BOOST_TEST(std::isfinite(exact::sincos(-0x1p26).sin));
  for (const double x : {0x1.0000001p26, -infinity, not_a_number}) {
    BOOST_TEST(std::isnan(exact::sincos(x).sin));
    BOOST_TEST(std::isnan(exact::sincos(x).cos));
  }
}

// These are the bits that checkpoints and log-probabilities lean on. A machine that gives others must not run Tessera.
BOOST_AUTO_TEST_CASE(results_over_a_fixed_grid_have_the_golden_bits) { check_golden(golden_grid_hashes()); }

BOOST_AUTO_TEST_CASE(flushing_denormals_to_zero_changes_no_bit) {
  const unsigned int mode = _mm_getcsr();
  _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
  const Hashes hashes = golden_grid_hashes();
  _mm_setcsr(mode);
  check_golden(hashes);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
