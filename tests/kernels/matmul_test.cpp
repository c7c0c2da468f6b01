// Matrices: every module against the reference, independence of batch and of tile range, accuracy.
#include <cmath>
#include <cstdint>
#include <string>

#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/matmul_cases.hpp"
#include "tests/support/sanitizers.hpp"

using namespace tessera::test;

namespace {

std::string text(const char* format, const Shape& shape, std::uint64_t seed) {
  return std::string(format) + ", " + shape.text(seed);
}

std::span<const float> row_of(const GuardedBuffer<float>& y, const Shape& shape, std::size_t row) {
  return std::span<const float>(y).subspan(row * shape.ldy(), shape.ldy());
}

/// Error of a dot product: some roundings of the sum of magnitudes. `value(token, k)` is what was multiplied.
template <typename Case, typename Value>
void require_accurate(const Case& made, const Shape& shape, double roundings, Value value) {
  const auto y = made.multiply(scalar(), shape, 0, shape.tokens);
  for (std::uint32_t token = 0; token < shape.tokens; ++token) {
    for (std::uint32_t row = 0; row < shape.tiles * TESSERA_LANES; ++row) {
      double sum = 0, magnitude = 0;
      for (std::uint32_t k = 0; k < shape.k; ++k) {
        const double product = made.weights.at(row, k) * value(token, k);
        sum += product;
        magnitude += std::abs(product);
      }
      BOOST_REQUIRE_SMALL(double{y[token * shape.ldy() + row]} - sum, roundings * 0x1p-24 * magnitude + 1e-30);
    }
  }
}

}  // namespace

KERNEL_TEST(matrices_agree_with_the_reference_to_the_bit) {
  for_each_format([&]<typename Case>() {
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
      Random random(seed);
      const Shape shape = random_shape(random);
      const Case made(random, shape, random.pick(all_values), random.pick(all_values));
      require_same_bits<float>(made.multiply(scalar(), shape, 0, shape.tokens),
                               made.multiply(table, shape, 0, shape.tokens), text(Case::name, shape, seed));
    }
  });
}

KERNEL_TEST(a_row_of_a_batch_has_the_bits_that_it_has_alone) {
  for_each_format([&]<typename Case>() {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      Random random(seed);
      Shape shape = random_shape(random);
      shape.tokens = random.between(2, 20);
      const Case made(random, shape, Values::spread, Values::spread);
      const auto batch = made.multiply(table, shape, 0, shape.tokens);
      for (std::uint32_t row = 0; row < shape.tokens; ++row) {
        require_same_bits<float>(made.multiply(table, shape, row, 1), row_of(batch, shape, row),
                                 text(Case::name, shape, seed));
      }
    }
  });
}

KERNEL_TEST(a_tile_has_the_same_bits_in_every_range_of_tiles) {
  for_each_format([&]<typename Case>() {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      Random random(seed);
      Shape shape = random_shape(random);
      shape.tile_begin = 0;
      shape.tile_end = shape.tiles;
      shape.slack_y = 0;
      const Case made(random, shape, Values::spread, Values::spread);
      const auto all = made.multiply(table, shape, 0, shape.tokens);
      for (std::uint32_t tile = 0; tile < shape.tiles; ++tile) {
        Shape one = shape;
        one.tile_begin = tile;
        one.tile_end = tile + 1;
        const auto part = made.multiply(table, one, 0, shape.tokens);
        for (std::uint32_t row = 0; row < shape.tokens; ++row) {
          require_same_bits<float>(row_of(part, one, row),
                                   row_of(all, shape, row).subspan(tile * TESSERA_LANES, TESSERA_LANES),
                                   text(Case::name, one, seed));
        }
      }
    }
  });
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
  for_each_format([&]<typename Case>() {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      Random random(seed);
      const std::uint32_t k = random.between(1, 300), tiles = random.between(1, 3);
      const std::uint32_t tile = random.between(0, tiles - 1), lane = random.between(0, 15);
      const Case made(random, Shape{tiles, 0, tiles, k, 1, 0, 0}, Values::extremes, Values::plain);
      GuardedBuffer<float> expected(k), actual(k);
      Case::unpack(scalar())(made.weights.tile(tile), lane, k, expected.data());
      Case::unpack(table)(made.weights.tile(tile), lane, k, actual.data());
      require_same_bits<float>(expected, actual, std::string(Case::name) + ", seed " + std::to_string(seed));
      for (std::uint32_t i = 0; i < k; ++i) {
        BOOST_REQUIRE_EQUAL(double{actual[i]}, made.weights.at(tile * TESSERA_LANES + lane, i));
      }
    }
  });
}

// The reference itself, against sums in double.
BOOST_FIXTURE_TEST_CASE(reference_matrices_are_accurate, FlushDenormals) {
  for (std::uint64_t seed = 0; seed < (sanitized ? 5 : 40); ++seed) {
    Random random(seed);
    Shape shape = random_shape(random);
    shape.tile_begin = 0;
    shape.tile_end = shape.tiles;
    shape.accumulate = false;
    const F32Case f32(random, shape, Values::spread, Values::plain);
    require_accurate(f32, shape, shape.k + 2,
                     [&](std::uint32_t token, std::uint32_t k) { return f32.value(token, k); });
    const Bf16Case bf16(random, shape, Values::spread, Values::plain);
    require_accurate(bf16, shape, shape.k + 2,
                     [&](std::uint32_t token, std::uint32_t k) { return bf16.value(token, k); });
    const auto blocks = [&](const auto& made) {
      QuantizedRows rows = made.rows(scalar(), 0, shape.tokens);
      const tessera_q8_rows view = rows.view();
      const auto restored = [&](std::uint32_t token, std::uint32_t k) {
        const std::size_t entry = QuantizedRows::entry(view, token, k / TESSERA_BLOCK);
        const double scale = double{view.scales[entry]};
        const double value = scale * view.values[entry * TESSERA_BLOCK + k % TESSERA_BLOCK];
        BOOST_REQUIRE_SMALL(value - double{made.x[token * shape.ldx() + k]}, scale * 0.5001);
        return value;
      };
      require_accurate(made, shape, 4 * (shape.k + 2), restored);
    };
    blocks(Q8Case(random, shape, Values::spread, Values::plain));
    blocks(Q4Case(random, shape, Values::spread, Values::plain));
  }
}
