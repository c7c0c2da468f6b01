#include "runtime/tensor/half.hpp"

#include <bit>
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"

using namespace tessera;

BOOST_AUTO_TEST_CASE(every_f16_survives_the_way_to_f32_and_back) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = f16_to_f32(half);
    if (std::isnan(value)) continue;
    BOOST_REQUIRE_EQUAL(f32_to_f16(value), half);
    // The value itself, from the definition.
    const int exponent = (bits >> 10) & 31;
    const double mantissa = bits & 1023;
    const double sign = bits & 0x8000 ? -1.0 : 1.0;
    if (exponent < 31) {
      const double expected =
          sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
      BOOST_REQUIRE_EQUAL(static_cast<double>(value), expected);
    } else {
      BOOST_REQUIRE(std::isinf(value));
    }
  }
}

BOOST_AUTO_TEST_CASE(f32_to_f16_rounds_to_the_nearest_ties_to_even) {
  for (std::uint32_t i = 0; i < 200000; ++i) {
    const std::uint32_t word = philox({1, 2}, {i, 0, 0, 0})[0];
    // Magnitudes from far below the smallest f16 to above the largest.
    const float value = std::bit_cast<float>((word & 0x807fffffu) | ((96u + word % 48u) << 23));
    const std::uint16_t half = f32_to_f16(value);
    const double got = static_cast<double>(f16_to_f32(half)), exact = static_cast<double>(value);
    if (std::fabs(exact) >= 65520.0) {
      BOOST_REQUIRE(std::isinf(got));
      continue;
    }
    const double error = std::fabs(got - exact);
    for (const int step : {-1, 1}) {
      const auto magnitude = static_cast<int>(half & 0x7fffu) + step;
      if (magnitude < 0 || magnitude >= 0x7c00) continue;
      const double neighbour = static_cast<double>(f16_to_f32(static_cast<std::uint16_t>((half & 0x8000) | magnitude)));
      const double other = std::fabs(neighbour - exact);
      BOOST_REQUIRE(error < other || (error == other && half % 2 == 0));
    }
  }
}

BOOST_AUTO_TEST_CASE(bf16_keeps_its_values_and_rounds_to_even) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = bf16_to_f32(half);
    if (!std::isnan(value)) BOOST_REQUIRE_EQUAL(f32_to_bf16(value), half);
  }
  BOOST_TEST(f32_to_bf16(std::bit_cast<float>(0x3f808000u)) == 0x3f80);  // tie, down to even
  BOOST_TEST(f32_to_bf16(std::bit_cast<float>(0x3f818000u)) == 0x3f82);  // tie, up to even
  BOOST_TEST(f32_to_bf16(std::bit_cast<float>(0x3f808001u)) == 0x3f81);
  BOOST_TEST(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}
