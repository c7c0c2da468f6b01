// Matrices: every module against the reference, independence of batch and of tile range, accuracy.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/packed_weights.hpp"

using namespace tessera::test;

namespace {

struct Shape {
  std::uint32_t tiles, tile_begin, tile_end, k, tokens;
  std::size_t slack_x, slack_y;  // floats between rows

  std::string text(std::uint64_t seed) const {
    return "seed " + std::to_string(seed) + ", k " + std::to_string(k) + ", tokens " + std::to_string(tokens) +
           ", tiles " + std::to_string(tile_begin) + ".." + std::to_string(tile_end);
  }
  std::size_t ldx() const { return k + slack_x; }
  std::size_t ldy() const { return std::size_t{tile_end - tile_begin} * TESSERA_LANES + slack_y; }
};

Shape random_shape(Random& random) {
  Shape shape{};
  const bool is_long = random.chance(16);
  shape.tiles = random.between(1, is_long ? 3 : 9);
  shape.tile_begin = random.between(0, shape.tiles - 1);
  shape.tile_end = random.between(shape.tile_begin, shape.tiles);
  shape.k = is_long ? random.between(1000, 2100) : random.between(1, 200);
  shape.tokens = random.chance(3) ? 1 : random.between(1, is_long ? 10 : 20);
  shape.slack_x = random.between(0, 3);
  shape.slack_y = random.between(0, 3);
  return shape;
}

constexpr float kUntouched = 12345.0f;

GuardedBuffer<float> run_f32(const tessera_op_table& table, const Shape& shape, const PackedF32& weights,
                             const float* x, std::uint32_t tokens) {
  GuardedBuffer<float> y(tokens * shape.ldy());
  for (float& value : y) value = kUntouched;
  const tessera_matmul_f32_args args{weights.data(),
                                     weights.tile_stride(),
                                     shape.tile_begin,
                                     shape.tile_end,
                                     shape.k,
                                     tokens,
                                     x,
                                     shape.ldx(),
                                     y.data(),
                                     shape.ldy()};
  table.matmul_f32(&args);
  return y;
}

GuardedBuffer<float> run_q8(const tessera_op_table& table, const Shape& shape, const PackedQ8& weights,
                            const tessera_q8_rows& x, std::uint32_t tokens) {
  GuardedBuffer<float> y(tokens * shape.ldy());
  for (float& value : y) value = kUntouched;
  const tessera_matmul_q8_args args{
      weights.data(), weights.tile_stride(), shape.tile_begin, shape.tile_end, weights.blocks(), tokens, x, y.data(),
      shape.ldy()};
  table.matmul_q8(&args);
  return y;
}

GuardedBuffer<float> random_rows(Random& random, const Shape& shape, Values kind) {
  GuardedBuffer<float> x(shape.tokens * shape.ldx() - shape.slack_x);  // the last row ends with its k-th element
  random.fill(x, kind);
  return x;
}

std::span<const float> row_of(const GuardedBuffer<float>& y, const Shape& shape, std::size_t row) {
  return std::span<const float>(y).subspan(row * shape.ldy(), shape.ldy());
}

}  // namespace

KERNEL_TEST(matmul_f32_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed);
    const Shape shape = random_shape(random);
    const PackedF32 weights(random, shape.tiles, shape.k, random.pick(all_values));
    const auto x = random_rows(random, shape, random.pick(all_values));
    require_same_bits<float>(run_f32(scalar(), shape, weights, x.data(), shape.tokens),
                             run_f32(table, shape, weights, x.data(), shape.tokens), shape.text(seed));
  }
}

KERNEL_TEST(matmul_q8_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed);
    const Shape shape = random_shape(random);
    const PackedQ8 weights(random, shape.tiles, shape.k);
    const auto x = random_rows(random, shape, random.pick(all_values));
    QuantizedRows rows(shape.tokens, shape.k, random.between(0, 1));
    const tessera_q8_rows view = rows.view();
    scalar().quantize_rows(x.data(), shape.ldx(), shape.tokens, shape.k, &view);
    require_same_bits<float>(run_q8(scalar(), shape, weights, view, shape.tokens),
                             run_q8(table, shape, weights, view, shape.tokens), shape.text(seed));
  }
}

KERNEL_TEST(a_row_of_a_batch_has_the_bits_that_it_has_alone) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed);
    Shape shape = random_shape(random);
    shape.tokens = random.between(2, 20);
    const PackedF32 weights(random, shape.tiles, shape.k, Values::spread);
    const PackedQ8 quantized(random, shape.tiles, shape.k);
    const auto x = random_rows(random, shape, Values::spread);
    QuantizedRows rows(shape.tokens, shape.k);
    const tessera_q8_rows view = rows.view();
    table.quantize_rows(x.data(), shape.ldx(), shape.tokens, shape.k, &view);
    const auto batch_f32 = run_f32(table, shape, weights, x.data(), shape.tokens);
    const auto batch_q8 = run_q8(table, shape, quantized, view, shape.tokens);
    for (std::uint32_t row = 0; row < shape.tokens; ++row) {
      require_same_bits<float>(run_f32(table, shape, weights, x.data() + row * shape.ldx(), 1),
                               row_of(batch_f32, shape, row), "f32, " + shape.text(seed));
      require_same_bits<float>(run_q8(table, shape, quantized, rows.from(row), 1), row_of(batch_q8, shape, row),
                               "q8, " + shape.text(seed));
    }
  }
}

KERNEL_TEST(a_tile_has_the_same_bits_in_every_range_of_tiles) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    Shape shape = random_shape(random);
    shape.tile_begin = 0;
    shape.tile_end = shape.tiles;
    shape.slack_y = 0;
    const PackedF32 weights(random, shape.tiles, shape.k, Values::spread);
    const PackedQ8 quantized(random, shape.tiles, shape.k);
    const auto x = random_rows(random, shape, Values::spread);
    QuantizedRows rows(shape.tokens, shape.k);
    const tessera_q8_rows view = rows.view();
    table.quantize_rows(x.data(), shape.ldx(), shape.tokens, shape.k, &view);
    const auto all_f32 = run_f32(table, shape, weights, x.data(), shape.tokens);
    const auto all_q8 = run_q8(table, shape, quantized, view, shape.tokens);
    for (std::uint32_t tile = 0; tile < shape.tiles; ++tile) {
      Shape one = shape;
      one.tile_begin = tile;
      one.tile_end = tile + 1;
      const auto part_f32 = run_f32(table, one, weights, x.data(), shape.tokens);
      const auto part_q8 = run_q8(table, one, quantized, view, shape.tokens);
      for (std::uint32_t row = 0; row < shape.tokens; ++row) {
        const auto within = [&](const GuardedBuffer<float>& y) {
          return row_of(y, shape, row).subspan(tile * TESSERA_LANES, TESSERA_LANES);
        };
        require_same_bits<float>(row_of(part_f32, one, row), within(all_f32), "f32, " + one.text(seed));
        require_same_bits<float>(row_of(part_q8, one, row), within(all_q8), "q8, " + one.text(seed));
      }
    }
  }
}

KERNEL_TEST(quantisation_agrees_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed);
    const Shape shape = random_shape(random);
    auto x = random_rows(random, shape, random.pick(all_values));
    if (random.chance(3)) {  // exact halves: rounding goes to the even number
      for (float& value : x) value = static_cast<float>(static_cast<int>(random.between(0, 254)) - 127) * 0.5f;
      x[0] = 127.0f;
    }
    QuantizedRows expected(shape.tokens, shape.k), actual(shape.tokens, shape.k);
    const tessera_q8_rows expected_view = expected.view(), actual_view = actual.view();
    scalar().quantize_rows(x.data(), shape.ldx(), shape.tokens, shape.k, &expected_view);
    table.quantize_rows(x.data(), shape.ldx(), shape.tokens, shape.k, &actual_view);
    require_same_bits<std::int8_t>(expected.values(), actual.values(), "values, " + shape.text(seed));
    require_same_bits<float>(expected.scales(), actual.scales(), "scales, " + shape.text(seed));
    require_same_bits<std::int32_t>(expected.corrections(), actual.corrections(), "corrections, " + shape.text(seed));
  }
}

KERNEL_TEST(unpacked_rows_agree_with_the_reference_to_the_bit) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const std::uint32_t k = random.between(1, 300), tiles = random.between(1, 3);
    const std::uint32_t tile = random.between(0, tiles - 1), lane = random.between(0, 15);
    const PackedF32 weights(random, tiles, k, Values::extremes);
    const PackedQ8 quantized(random, tiles, k);
    GuardedBuffer<float> expected(k), actual(k);
    scalar().unpack_row_f32(weights.tile(tile), lane, k, expected.data());
    table.unpack_row_f32(weights.tile(tile), lane, k, actual.data());
    require_same_bits<float>(expected, actual, "f32, seed " + std::to_string(seed));
    scalar().unpack_row_q8(quantized.tile(tile), lane, k, expected.data());
    table.unpack_row_q8(quantized.tile(tile), lane, k, actual.data());
    require_same_bits<float>(expected, actual, "q8, seed " + std::to_string(seed));
    for (std::uint32_t i = 0; i < k; ++i) {
      BOOST_REQUIRE_EQUAL(double{actual[i]}, quantized.at(tile * TESSERA_LANES + lane, i));
    }
  }
}

// The reference itself: the error of a dot product is at most k roundings of the sum of magnitudes.
BOOST_FIXTURE_TEST_CASE(reference_matrices_are_accurate, FlushDenormals) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    Shape shape = random_shape(random);
    shape.tile_begin = 0;
    shape.tile_end = shape.tiles;
    const PackedF32 weights(random, shape.tiles, shape.k, Values::spread);
    const PackedQ8 quantized(random, shape.tiles, shape.k);
    const auto x = random_rows(random, shape, Values::plain);
    QuantizedRows rows(shape.tokens, shape.k);
    const tessera_q8_rows view = rows.view();
    scalar().quantize_rows(x.data(), shape.ldx(), shape.tokens, shape.k, &view);
    const auto y_f32 = run_f32(scalar(), shape, weights, x.data(), shape.tokens);
    const auto y_q8 = run_q8(scalar(), shape, quantized, view, shape.tokens);
    const double rounding = 0x1p-24 * (shape.k + 2);
    for (std::uint32_t token = 0; token < shape.tokens; ++token) {
      for (std::uint32_t row = 0; row < shape.tiles * TESSERA_LANES; ++row) {
        double f32 = 0, f32_magnitude = 0, q8 = 0, q8_magnitude = 0;
        for (std::uint32_t k = 0; k < shape.k; ++k) {
          const double value = double{x[token * shape.ldx() + k]};
          const std::size_t block = k / TESSERA_BLOCK;
          f32 += weights.at(row, k) * value;
          f32_magnitude += std::abs(weights.at(row, k) * value);
          const double scale = double{view.scales[token * view.ld_blocks + block]};
          const double restored = scale * view.values[token * view.ld_values + k];
          BOOST_REQUIRE_SMALL(restored - value, scale * 0.5001);
          q8 += quantized.at(row, k) * restored;
          q8_magnitude += std::abs(quantized.at(row, k) * restored);
        }
        BOOST_REQUIRE_SMALL(double{y_f32[token * shape.ldy() + row]} - f32, rounding * f32_magnitude + 1e-30);
        BOOST_REQUIRE_SMALL(double{y_q8[token * shape.ldy() + row]} - q8, 4 * rounding * q8_magnitude + 1e-30);
      }
    }
  }
}
