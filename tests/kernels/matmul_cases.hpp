// One matrix times some rows in each weight format: random inputs, how a module multiplies them, and what the numbers
// are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/kernels/packed_weights.hpp"

namespace tessera::test {

struct Shape {
  std::uint32_t tiles, tile_begin, tile_end, k, tokens;
  std::size_t slack_x, slack_y;  // floats between rows
  bool accumulate = false;
  bool has_next = false;

  std::string text(std::uint64_t seed) const {
    return "seed " + std::to_string(seed) + ", k " + std::to_string(k) + ", tokens " + std::to_string(tokens) +
           ", tiles " + std::to_string(tile_begin) + ".." + std::to_string(tile_end) +
           (accumulate ? ", accumulated" : "");
  }
  std::size_t ldx() const { return k + slack_x; }
  std::size_t ldy() const { return std::size_t{tile_end - tile_begin} * TESSERA_LANES + slack_y; }
};

inline Shape random_shape(Random& random) {
  Shape shape{};
  const bool is_long = random.chance(16);
  // Some kernels read four runs of tiles side by side.
  shape.tiles = random.between(1, is_long ? 6 : 19);
  shape.tile_begin = random.between(0, shape.tiles - 1);
  shape.tile_end = random.between(shape.tile_begin, shape.tiles);
  shape.k = is_long ? random.between(1000, 2100) : random.between(1, 200);
  shape.tokens = random.chance(3) ? 1 : random.between(1, is_long ? 10 : 20);
  shape.slack_x = random.between(0, 3);
  shape.slack_y = random.between(0, 3);
  shape.accumulate = random.chance(3);
  shape.has_next = random.chance(2);
  if (random.chance(48)) {  // several blocks of tokens, and sums that wait
    shape.tiles = shape.tile_end = random.between(1, 2);
    shape.tile_begin = 0;
    shape.k = random.between(520, 1100);
    shape.tokens = random.between(60, 120);
  }
  return shape;
}

inline GuardedBuffer<float> random_rows(Random& random, const Shape& shape, Values kind) {
  GuardedBuffer<float> x(shape.tokens * shape.ldx() - shape.slack_x);  // the last row ends with its k-th element
  random.fill(x, kind);
  return x;
}

/// [tokens][ldy], what a kernel must not touch marked.
inline GuardedBuffer<float> untouched_rows(const Shape& shape, std::uint32_t tokens) {
  GuardedBuffer<float> y(tokens * shape.ldy());
  for (float& value : y) value = 1.2345f;  // near what is summed: an addition of it shows every bit
  return y;
}

// Each case: multiply() gives y of rows first .. first + tokens - 1, prepared and multiplied by the module; weight()
// and value() are the numbers that it multiplies.

struct F32Case {
  static constexpr const char* name = "f32";
  PackedF32 weights;
  GuardedBuffer<float> x;
  std::size_t ldx;

  F32Case(Random& random, const Shape& shape, Values weight_values, Values values)
      : weights(random, shape.tiles, shape.k, weight_values), x(random_rows(random, shape, values)), ldx(shape.ldx()) {}

  GuardedBuffer<float> multiply(const tessera_op_table& table, const Shape& shape, std::uint32_t first,
                                std::uint32_t tokens) const {
    auto y = untouched_rows(shape, tokens);
    const tessera_matmul_f32_args args{weights.data(),
                                       weights.tile_stride(),
                                       shape.tile_begin,
                                       shape.tile_end,
                                       shape.k,
                                       tokens,
                                       x.data() + first * ldx,
                                       ldx,
                                       y.data(),
                                       shape.ldy(),
                                       shape.accumulate,
                                       shape.has_next ? weights.data() : nullptr};
    table.matmul_f32(&args);
    return y;
  }
  double value(std::uint32_t token, std::uint32_t k) const { return double{x[token * ldx + k]}; }
  static auto unpack(const tessera_op_table& table) { return table.unpack_row_f32; }
};

struct Bf16Case {
  static constexpr const char* name = "bf16";
  PackedBf16 weights;
  GuardedBuffer<float> x;
  std::size_t ldx;

  Bf16Case(Random& random, const Shape& shape, Values weight_values, Values values)
      : weights(random, shape.tiles, shape.k, weight_values), x(random_rows(random, shape, values)), ldx(shape.ldx()) {}

  GuardedBuffer<float> multiply(const tessera_op_table& table, const Shape& shape, std::uint32_t first,
                                std::uint32_t tokens) const {
    auto y = untouched_rows(shape, tokens);
    const std::uint32_t even = (shape.k + 1) / 2 * 2;
    const std::size_t ld = even + shape.slack_x / 2 * 2, bytes = table.bf16_form == TESSERA_BF16_PACKED ? 2 : 4;
    GuardedBuffer<std::uint8_t> rounded(((tokens - 1) * ld + even) * bytes);
    const tessera_bf16_rows rows{rounded.data(), ld};
    table.bf16_rows(x.data() + first * ldx, ldx, tokens, shape.k, &rows);
    const tessera_matmul_bf16_args args{weights.data(),
                                        weights.tile_stride(),
                                        shape.tile_begin,
                                        shape.tile_end,
                                        even,
                                        tokens,
                                        rows,
                                        y.data(),
                                        shape.ldy(),
                                        shape.accumulate,
                                        shape.has_next ? weights.data() : nullptr};
    table.matmul_bf16(&args);
    return y;
  }
  double value(std::uint32_t token, std::uint32_t k) const { return bf16_to_double(to_bf16(x[token * ldx + k])); }
  static auto unpack(const tessera_op_table& table) { return table.unpack_row_bf16; }
};

/// q8 and q4.
template <typename Packed>
struct BlocksCase {
  Packed weights;
  GuardedBuffer<float> x;
  std::size_t ldx;
  std::size_t slack;
  std::uint32_t tokens, k;

  BlocksCase(Random& random, const Shape& shape, Values, Values values)
      : weights(random, shape.tiles, shape.k),
        x(random_rows(random, shape, values)),
        ldx(shape.ldx()),
        slack(random.between(0, 5)),
        tokens(shape.tokens),
        k(shape.k) {}

  QuantizedRows rows(const tessera_op_table& table, std::uint32_t first, std::uint32_t count) const {
    QuantizedRows quantised(count, k, slack);
    const tessera_q8_rows view = quantised.view();
    table.quantize_rows(x.data() + first * ldx, ldx, count, k, &view);
    return quantised;
  }
  GuardedBuffer<float> multiply(const tessera_op_table& table, void (*matmul)(const tessera_matmul_q8_args*),
                                const Shape& shape, std::uint32_t first, std::uint32_t count) const {
    auto y = untouched_rows(shape, count);
    QuantizedRows quantised = rows(table, first, count);
    const tessera_matmul_q8_args args{weights.data(),
                                      weights.tile_stride(),
                                      shape.tile_begin,
                                      shape.tile_end,
                                      weights.blocks(),
                                      count,
                                      quantised.view(),
                                      y.data(),
                                      shape.ldy(),
                                      shape.accumulate,
                                      shape.has_next ? weights.data() : nullptr};
    matmul(&args);
    return y;
  }
};

struct Q8Case : BlocksCase<PackedQ8> {
  static constexpr const char* name = "q8";
  using BlocksCase::BlocksCase;
  GuardedBuffer<float> multiply(const tessera_op_table& table, const Shape& shape, std::uint32_t first,
                                std::uint32_t count) const {
    return BlocksCase::multiply(table, table.matmul_q8, shape, first, count);
  }
  static auto unpack(const tessera_op_table& table) { return table.unpack_row_q8; }
};

struct Q4Case : BlocksCase<PackedQ4> {
  static constexpr const char* name = "q4";
  using BlocksCase::BlocksCase;
  GuardedBuffer<float> multiply(const tessera_op_table& table, const Shape& shape, std::uint32_t first,
                                std::uint32_t count) const {
    return BlocksCase::multiply(table, table.matmul_q4, shape, first, count);
  }
  static auto unpack(const tessera_op_table& table) { return table.unpack_row_q4; }
};

/// Calls test.operator()<Case>() for every format.
template <typename Test>
void for_each_format(Test test) {
  test.template operator()<F32Case>();
  test.template operator()<Bf16Case>();
  test.template operator()<Q8Case>();
  test.template operator()<Q4Case>();
}

}  // namespace tessera::test
