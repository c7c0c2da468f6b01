#include "runtime/tensor/quantise.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/tensor/half.hpp"

using namespace tessera;

namespace {

constexpr std::uint32_t count = 32;

int weight(const Q4Block& block, std::uint32_t i) {
  const int both = block.nibbles[i % 16];
  return (i < 16 ? both & 15 : both >> 4) - 8;
}

double value(const Q4Block& block, std::uint32_t i) {
  return weight(block, i) * static_cast<double>(f16_to_f32(block.scale));
}

double squared_error(const Q4Block& block, const std::vector<float>& values) {
  double error = 0;
  for (std::uint32_t i = 0; i < count; ++i) error += std::pow(static_cast<double>(values[i]) - value(block, i), 2);
  return error;
}

/// The usual rule: the element of largest magnitude becomes -8.
Q4Block plain_q4_block(const std::vector<float>& values) {
  const float largest =
      *std::max_element(values.begin(), values.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  Q4Block block{};
  block.scale = f32_to_f16(largest / -8.0f);
  for (std::uint32_t i = 0; i < count; ++i) {
    const double scale = static_cast<double>(f16_to_f32(block.scale));
    const double steps = scale == 0 ? 0 : std::nearbyint(static_cast<double>(values[i]) / scale);
    const auto nibble = static_cast<int>(std::clamp(steps, -8.0, 7.0)) + 8;
    block.nibbles[i % 16] = static_cast<std::uint8_t>(block.nibbles[i % 16] | nibble << (i < 16 ? 0 : 4));
  }
  return block;
}

/// Sums of four uniform numbers: like weights, more in the middle than at the ends.
std::vector<float> random_block(std::uint32_t seed) {
  std::vector<float> values(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    for (const std::uint32_t word : philox({seed, 41}, {i, 0, 0, 0})) {
      values[i] += static_cast<float>(static_cast<std::int32_t>(word)) * 0x1p-31f;
    }
  }
  return values;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(quantise)

BOOST_AUTO_TEST_CASE(a_q8_block_uses_the_whole_range_and_zero_stays_zero) {
  float values[32] = {};
  std::int8_t quantised[32];
  BOOST_TEST(quantize_q8_block(values, 32, quantised) == 0);
  for (const std::int8_t value : quantised) BOOST_TEST(value == 0);
  values[3] = -2.54f;
  values[4] = 1.27f;
  const float scale = f16_to_f32(quantize_q8_block(values, 32, quantised));
  BOOST_TEST(std::fabs(scale - 0.02f) < 1e-5f);
  BOOST_TEST(quantised[3] == -127);
  BOOST_TEST((quantised[4] == 63 || quantised[4] == 64));
}

BOOST_AUTO_TEST_CASE(a_q4_block_has_low_nibbles_first_and_its_largest_element_at_minus_eight) {
  std::vector<float> values(count);
  for (std::uint32_t i = 0; i < count; ++i) values[i] = static_cast<float>(static_cast<int>(i % 15) - 7) * 0.5f;
  values[20] = 4.0f;  // the scale is -0.5
  const Q4Block block = quantize_q4_block(values.data(), count);
  BOOST_TEST(f16_to_f32(block.scale) == -0.5f);
  for (std::uint32_t i = 0; i < count; ++i) BOOST_TEST(value(block, i) == static_cast<double>(values[i]));
  BOOST_TEST((block.nibbles[4] >> 4) == 0);
  BOOST_TEST((block.nibbles[0] & 15) == 15);
}

BOOST_AUTO_TEST_CASE(a_q4_block_of_zeros_and_what_lies_beyond_it_is_eight) {
  const float none[count] = {};
  for (const std::uint8_t both : quantize_q4_block(none, count).nibbles) BOOST_TEST(both == 0x88);
  for (const std::uint8_t both : quantize_q4_block(nullptr, 0).nibbles) BOOST_TEST(both == 0x88);
  const float values[] = {1.0f, -3.0f, 2.0f};
  const Q4Block block = quantize_q4_block(values, 3);
  for (std::uint32_t i = 3; i < count; ++i) BOOST_TEST(weight(block, i) == 0);
}

BOOST_AUTO_TEST_CASE(every_q4_0_block_that_uses_minus_eight_comes_back_as_it_was) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    Q4Block block{};
    const std::uint32_t bits = philox({seed, 42}, {0, 0, 0, 0})[0];
    block.scale = static_cast<std::uint16_t>((bits & 0x83ffu) | (1 + bits % 24) << 10);  // any sign
    std::vector<float> values(count);
    for (std::uint32_t i = 0; i < 16; ++i) {
      block.nibbles[i] = static_cast<std::uint8_t>(philox({seed, 43}, {i, 0, 0, 0})[0]);
    }
    block.nibbles[seed % 16] &= 0xf0;
    for (std::uint32_t i = 0; i < count; ++i) values[i] = static_cast<float>(value(block, i));
    BOOST_TEST((quantize_q4_block(values.data(), count) == block));
  }
}

BOOST_AUTO_TEST_CASE(the_chosen_q4_scale_is_never_worse_than_the_usual_one_and_mostly_better) {
  double chosen = 0, plain = 0;
  for (std::uint32_t seed = 0; seed < 2000; ++seed) {
    const std::vector<float> values = random_block(seed);
    const double error = squared_error(quantize_q4_block(values.data(), count), values);
    const double usual = squared_error(plain_q4_block(values), values);
    // The quantiser multiplies by the inverse of the scale: an element between two steps may fall the other way.
    BOOST_TEST(error <= usual * (1 + 1e-5));
    chosen += error;
    plain += usual;
  }
  BOOST_TEST(chosen < 0.92 * plain);
}

BOOST_AUTO_TEST_CASE(q4_blocks_at_the_ends_of_the_range_of_f16_stay_finite) {
  for (const float largest : {8 * 65504.0f, -8 * 65504.0f, 7.5f * 65504.0f, 6e-8f, 1e-8f, 1e-30f, 1e-42f}) {
    std::vector<float> values(count, largest / 3);
    values[7] = largest;
    const Q4Block block = quantize_q4_block(values.data(), count);
    BOOST_TEST((block.scale & 0x7c00) != 0x7c00);
    for (std::uint32_t i = 0; i < count; ++i) {
      const double half_a_step = std::fabs(static_cast<double>(f16_to_f32(block.scale))) / 2;
      // What would be more than 7 steps on the other side is cut; here nothing is. Steps of denormal scales are coarse.
      BOOST_TEST(std::fabs(value(block, i) - static_cast<double>(values[i])) <= half_a_step * 2.01 + 6.1e-8);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
