#include "runtime/tensor/packed_layout.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/tensor/half.hpp"
#include "runtime/tensor/quantise.hpp"

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

BOOST_AUTO_TEST_CASE(blocks_are_taken_over_as_quantising_would_have_made_them) {
  for (const DType dtype : {DType::q8, DType::q4}) {
    for (const PackedLayout& layout :
         {PackedLayout{dtype, SplitAxis::rows, 172, 64, 32}, PackedLayout{dtype, SplitAxis::rows, 24, 96, 8},
          PackedLayout{dtype, SplitAxis::columns, 72, 160, 64}, PackedLayout{dtype, SplitAxis::columns, 7, 96, 96}}) {
      const auto values = random_matrix(layout.rows, layout.columns);
      std::vector<std::byte> blocks;
      const auto append = [&](const auto& block) {
        const auto bytes = std::as_bytes(std::span(&block, 1));
        blocks.insert(blocks.end(), bytes.begin(), bytes.end());
      };
      for (std::size_t i = 0; i < values.size(); i += 32) {
        if (dtype == DType::q4) {
          append(quantize_q4_block(values.data() + i, 32));
        } else {
          Q8Block block;
          block.scale = quantize_q8_block(values.data() + i, 32, block.values);
          append(block);
        }
      }
      std::vector<std::byte> packed(layout.bytes());
      for (std::uint32_t unit = 0; unit < layout.units(); ++unit) {
        pack_unit(layout, unit, BlockMatrixView{blocks.data(), layout.rows, layout.columns},
                  packed.data() + layout.unit_offset(unit));
      }
      BOOST_TEST((packed == pack(layout, values)));
    }
  }
}

BOOST_AUTO_TEST_CASE(blocks_that_no_quantiser_makes_keep_every_weight) {
  // A scale that is far too large, and -128.
  const PackedLayout layout{DType::q8, SplitAxis::rows, 1, 32, 32};
  Q8Block block{f32_to_f16(-3.0f), {}};
  for (int i = 0; i < 32; ++i) block.values[i] = static_cast<std::int8_t>(i % 2 == 0 ? -128 : i - 16);
  std::vector<std::byte> packed(layout.bytes());
  pack_unit(layout, 0, BlockMatrixView{reinterpret_cast<const std::byte*>(&block), 1, 32}, packed.data());
  float row[32];
  unpack_row(layout, packed.data(), 0, row);
  for (int i = 0; i < 32; ++i) BOOST_TEST(row[i] == -3.0f * static_cast<float>(block.values[i]));
}

BOOST_AUTO_TEST_CASE(bf16_packing_keeps_every_element_rounded) {
  for (const PackedLayout& layout : layouts(DType::bf16)) {
    const auto values = random_matrix(layout.rows, layout.columns);
    const auto bytes = pack(layout, values);
    for (std::uint32_t row = 0; row < layout.rows; ++row) {
      for (std::uint32_t column = 0; column < layout.columns; ++column) {
        BOOST_REQUIRE_EQUAL(unpack_element(layout, bytes.data(), row, column),
                            bf16_to_f32(f32_to_bf16(values[row * layout.columns + column])));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(quantised_packing_keeps_every_element_to_half_a_step) {
  // Half a step of 1/127 and the rounding of the scale to f16. A q4 block may map its largest element to -9 steps: the
  // same on the other side, where 7 steps are the most, is cut by two of them.
  for (const auto& [dtype, tolerance] : {std::pair{DType::q8, 0.5f / 127 + 0.0005f}, std::pair{DType::q4, 2.01f / 9}}) {
    for (const PackedLayout& layout : layouts(dtype)) {
      const auto values = random_matrix(layout.rows, layout.columns);
      const auto bytes = pack(layout, values);
      for (std::uint32_t row = 0; row < layout.rows; ++row) {
        for (std::uint32_t column = 0; column < layout.columns; ++column) {
          BOOST_REQUIRE_LE(
              std::fabs(unpack_element(layout, bytes.data(), row, column) - values[row * layout.columns + column]),
              tolerance);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_tile_is_laid_out_as_the_kernels_read_it) {
  // Row 18 is lane 2 of the second tile; column 37 is the sixth of the second block.
  const auto values = random_matrix(32, 64);
  const auto at = [&](DType dtype, std::size_t offset) {
    const PackedLayout layout{dtype, SplitAxis::rows, 32, 64, 32};
    return pack(layout, values)[layout.tile_bytes() + layout.tile_scale_bytes() + offset];
  };
  const PackedLayout bf16{DType::bf16, SplitAxis::rows, 32, 64, 32}, q4{DType::q4, SplitAxis::rows, 32, 64, 32};
  BOOST_TEST(bf16.tile_bytes() == 64u * 16 * 2);
  BOOST_TEST(q4.tile_scale_bytes() == 2u * 16 * 2);
  BOOST_TEST(q4.tile_bytes() == q4.tile_scale_bytes() + 64 * 16 / 2);
  const std::uint16_t rounded = f32_to_bf16(values[18 * 64 + 37]);
  const std::size_t pair = (std::size_t{37 / 2} * 16 + 2) * 2 + 1;
  BOOST_TEST(static_cast<int>(at(DType::bf16, pair * 2)) == (rounded & 255));
  BOOST_TEST(static_cast<int>(at(DType::bf16, pair * 2 + 1)) == rounded >> 8);
  const Q4Block block = quantize_q4_block(values.data() + 18 * 64 + 32, 32);
  for (std::size_t i = 0; i < 16; ++i) {
    BOOST_TEST(static_cast<int>(at(DType::q4, 256 + (i / 4 * 16 + 2) * 4 + i % 4)) == block.nibbles[i]);
  }
}

BOOST_AUTO_TEST_CASE(all_bytes_of_q4_beyond_the_matrix_are_zero_weights) {
  const PackedLayout layout{DType::q4, SplitAxis::columns, 7, 33, 32};
  const auto bytes = pack(layout, random_matrix(7, 33));
  const std::byte* const tile = bytes.data() + layout.unit_offset(1);
  for (std::uint32_t i = 0; i < 16; ++i) {
    for (std::uint32_t lane = 0; lane < 16; ++lane) {
      const auto both = static_cast<int>(tile[layout.tile_scale_bytes() + i / 4 * 64 + lane * 4 + i % 4]);
      BOOST_TEST(both >> 4 == 8);
      if (i > 0 || lane >= 7) BOOST_TEST((both & 15) == 8);
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
  for (const DType dtype : all_dtypes) {
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

BOOST_AUTO_TEST_CASE(values_that_cannot_be_stored_are_found) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float values[] = {1.0f, 3e38f, infinity, nan};
  BOOST_TEST(first_unpackable(DType::f32, values, 2) == 2u);
  BOOST_TEST(first_unpackable(DType::f32, values, 4) == 2u);
  BOOST_TEST(first_unpackable(DType::f32, values + 3, 1) == 0u);
  BOOST_TEST(first_unpackable(DType::q8, values, 2) == 1u);
  // The largest float that bf16 rounds down, and the next; the largest magnitude of a q4 block, and the next.
  const float edges[] = {0x1.fefffep127f, 0x1.ffp127f, -524032.0f, -524032.06f};
  BOOST_TEST(first_unpackable(DType::bf16, edges, 4) == 1u);
  BOOST_TEST(first_unpackable(DType::q4, edges + 2, 2) == 1u);
}
