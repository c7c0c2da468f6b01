#include "runtime/tensor/packed_layout.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/tensor/half.hpp"

using namespace tessera;

namespace {

std::vector<float> random_matrix(std::uint32_t rows, std::uint32_t columns) {
  std::vector<float> values(std::size_t{rows} * columns);
  for (std::uint32_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(static_cast<std::int32_t>(philox({rows, columns}, {i, 0, 0, 0})[0])) * 0x1p-31f;
  }
  return values;
}

std::vector<std::byte> pack(const PackedLayout& layout, const std::vector<float>& values) {
  std::vector<std::byte> bytes(layout.bytes());
  for (std::uint32_t unit = 0; unit < layout.units(); ++unit) {
    pack_unit(layout, unit, {values.data(), layout.rows, layout.columns}, bytes.data() + layout.unit_offset(unit));
  }
  return bytes;
}

std::vector<PackedLayout> layouts(DType dtype) {
  return {{dtype, SplitAxis::rows, 172, 64, 32},    {dtype, SplitAxis::rows, 24, 72, 8},
          {dtype, SplitAxis::rows, 1100, 40, 1024}, {dtype, SplitAxis::columns, 72, 172, 32},
          {dtype, SplitAxis::columns, 64, 72, 72},  {dtype, SplitAxis::columns, 7, 33, 32}};
}

}  // namespace

BOOST_AUTO_TEST_CASE(f32_packing_keeps_every_element) {
  for (const PackedLayout& layout : layouts(DType::f32)) {
    const auto values = random_matrix(layout.rows, layout.columns);
    const auto bytes = pack(layout, values);
    for (std::uint32_t row = 0; row < layout.rows; ++row) {
      for (std::uint32_t column = 0; column < layout.columns; ++column) {
        BOOST_REQUIRE_EQUAL(unpack_element(layout, bytes.data(), row, column), values[row * layout.columns + column]);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(q8_packing_keeps_every_element_to_half_a_step) {
  for (const PackedLayout& layout : layouts(DType::q8)) {
    const auto values = random_matrix(layout.rows, layout.columns);
    const auto bytes = pack(layout, values);
    for (std::uint32_t row = 0; row < layout.rows; ++row) {
      for (std::uint32_t column = 0; column < layout.columns; ++column) {
        const float error =
            std::fabs(unpack_element(layout, bytes.data(), row, column) - values[row * layout.columns + column]);
        // Half a step of 1/127, and the rounding of the scale to f16.
        BOOST_REQUIRE_LE(error, 0.5f / 127 + 0.0005f);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(all_bytes_beyond_the_matrix_are_zero_weights) {
  // 33 columns in slices of 32: the second unit holds one real column, seven real rows.
  const PackedLayout layout{DType::q8, SplitAxis::columns, 7, 33, 32};
  const auto bytes = pack(layout, random_matrix(7, 33));
  const std::byte* const tile = bytes.data() + layout.unit_offset(1);
  for (std::uint32_t k = 0; k < 32; ++k) {
    for (std::uint32_t lane = 0; lane < 16; ++lane) {
      const auto value = static_cast<int>(tile[layout.tile_scale_bytes() + k / 4 * 64 + lane * 4 + k % 4]);
      if (k > 0 || lane >= 7) BOOST_TEST(value == 128);
    }
  }
}

BOOST_AUTO_TEST_CASE(units_follow_each_other_without_gaps) {
  for (const DType dtype : {DType::f32, DType::q8}) {
    for (const PackedLayout& layout : layouts(dtype)) {
      std::size_t offset = 0;
      for (std::uint32_t unit = 0; unit < layout.units(); ++unit) {
        BOOST_TEST(layout.unit_offset(unit) == offset);
        BOOST_TEST(layout.unit_bytes(unit) % 64 == 0u);
        offset += layout.unit_bytes(unit);
      }
      BOOST_TEST(layout.bytes() == offset);
    }
  }
}

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

BOOST_AUTO_TEST_CASE(values_that_cannot_be_stored_are_found) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float values[] = {1.0f, 3e38f, infinity, nan};
  BOOST_TEST(first_unpackable(DType::f32, values, 2) == 2u);
  BOOST_TEST(first_unpackable(DType::f32, values, 4) == 2u);
  BOOST_TEST(first_unpackable(DType::f32, values + 3, 1) == 0u);
  BOOST_TEST(first_unpackable(DType::q8, values, 2) == 1u);
}
