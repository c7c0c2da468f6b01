// Training's ops: every module against the reference by bits, the reference against double precision.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/device/aligned_buffer.hpp"
#include "tests/kernels/guarded_buffer.hpp"
#include "tests/kernels/kernel_test.hpp"
#include "tests/kernels/random_values.hpp"

using namespace tessera::test;

namespace {

struct Matrix {
  GuardedBuffer<float> values;
  std::size_t row, column;
  Matrix(Random& random, std::uint32_t rows, std::uint32_t columns, bool turned, Values kind)
      : values(std::size_t{rows} * columns), row(turned ? 1 : columns), column(turned ? rows : 1) {
    random.fill(values, kind);
  }
};

std::string shape_of(const tessera_gemm_args& g) {
  return std::to_string(g.m) + " x " + std::to_string(g.n) + " x " + std::to_string(g.k) + ", strides " +
         std::to_string(g.a_row) + " and " + std::to_string(g.b_row) + (g.packed_b != nullptr ? ", packed" : "") +
         (g.accumulate != 0 ? ", accumulated" : "");
}

void check_gemm(const tessera_op_table& table, Random& random, std::uint32_t m, std::uint32_t n, std::uint32_t k) {
  const Values kind = random.pick(all_values);
  Matrix a(random, m, k, random.chance(2), kind), b(random, k, n, random.chance(2), kind);
  const std::size_t ldc = n + random.between(0, 3);
  GuardedBuffer<float> expected(m * ldc);
  random.fill(expected, Values::plain);
  GuardedBuffer<float> got = expected;
  tessera::AlignedBuffer<float> scratch(TESSERA_GEMM_SCRATCH);
  tessera_gemm_args args{};
  args.a = a.values.data();
  args.a_row = a.row;
  args.a_column = a.column;
  args.b = b.values.data();
  args.b_row = b.row;
  args.b_column = b.column;
  args.c = expected.data();
  args.ldc = ldc;
  args.m = m;
  args.n = n;
  args.k = k;
  args.accumulate = random.chance(2);
  args.round_bf16 = random.chance(3);
  args.scratch = scratch.data();
  scalar().training->gemm(&args);
  args.c = got.data();
  const std::uint32_t tiles = (n + TESSERA_GEMM_TILE - 1) / TESSERA_GEMM_TILE;
  tessera::AlignedBuffer<float> packed(std::size_t{tiles} * TESSERA_GEMM_TILE * k);
  if (random.chance(2)) {
    const std::uint32_t middle = random.between(0, tiles) * TESSERA_GEMM_TILE;
    table.training->gemm_pack(&args, 0, std::min(middle, n), packed.data());
    if (middle < n) table.training->gemm_pack(&args, middle, n, packed.data());
    args.packed_b = packed.data();
    args.b = nullptr;
  }
  table.training->gemm(&args);
  require_same_bits<float>(expected, got, shape_of(args));
}

GuardedBuffer<float> random_row(Random& random, std::size_t n, Values kind) {
  GuardedBuffer<float> x(n);
  random.fill(x, kind);
  return x;
}

std::uint32_t length(Random& random) { return random.chance(8) ? random.between(200, 1500) : random.between(1, 70); }

}  // namespace

KERNEL_TEST(products_of_matrices_agree_with_the_reference) {
  Random random(71);
  for (int i = 0; i < 120; ++i)
    check_gemm(table, random, random.between(1, 40), random.between(1, 70), random.between(0, 60));
  for (const std::uint32_t edge : {255u, 256u, 257u, 600u}) {
    check_gemm(table, random, 15, 33, edge);
    check_gemm(table, random, 29, edge, 17);
    check_gemm(table, random, edge, 31, 9);
    check_gemm(table, random, 340, 20, edge);
  }
}

KERNEL_TEST(a_softmax_agrees_with_the_reference) {
  Random random(72);
  for (int i = 0; i < 300; ++i) {
    const std::uint32_t n = length(random);
    const Values kind = random.pick(all_values);
    const GuardedBuffer<float> x = random_row(random, n, kind), dp = random_row(random, n, kind);
    GuardedBuffer<float> expected(n), got = x, expected_dx(n), got_dx = dp;
    const float scale = 0.125f + random.value(Values::plain) * 0.1f;
    const auto sums = scalar().training->softmax(x.data(), scale, n, expected.data());
    const auto found = table.training->softmax(got.data(), scale, n, got.data());
    require_same_bits<float>(expected, got, "softmax of " + std::to_string(n));
    BOOST_REQUIRE(sums.max == found.max && sums.sum == found.sum);
    scalar().training->softmax_backward(expected.data(), dp.data(), scale, n, expected_dx.data());
    table.training->softmax_backward(got.data(), got_dx.data(), scale, n, got_dx.data());
    require_same_bits<float>(expected_dx, got_dx, "gradient of a softmax of " + std::to_string(n));
  }
}

KERNEL_TEST(the_gradient_of_a_norm_agrees_with_the_reference) {
  Random random(73);
  for (int i = 0; i < 200; ++i) {
    const std::uint32_t n = length(random), rows = random.between(1, 9);
    const Values kind = random.pick(all_values);
    const GuardedBuffer<float> x = random_row(random, std::size_t{n} * rows, kind);
    const GuardedBuffer<float> dy = random_row(random, std::size_t{n} * rows, kind),
                               weight = random_row(random, n, kind);
    GuardedBuffer<float> expected = random_row(random, std::size_t{n} * rows, kind), got = expected;
    GuardedBuffer<float> expected_weight = random_row(random, n, kind), got_weight = expected_weight;
    std::vector<float> r(rows);
    for (std::size_t row = 0; row < rows; ++row) {
      r[row] =
          scalar().training->rms_norm_backward(&x[row * n], weight.data(), &dy[row * n], 1e-5f, n, &expected[row * n]);
      const float same =
          table.training->rms_norm_backward(&x[row * n], weight.data(), &dy[row * n], 1e-5f, n, &got[row * n]);
      BOOST_REQUIRE(same == r[row]);
    }
    require_same_bits<float>(expected, got, "gradient of x, " + std::to_string(n));
    scalar().training->rms_norm_weight_backward(x.data(), dy.data(), n, r.data(), rows, n, expected_weight.data());
    table.training->rms_norm_weight_backward(x.data(), dy.data(), n, r.data(), rows, n, got_weight.data());
    require_same_bits<float>(expected_weight, got_weight, "gradient of the weight, " + std::to_string(n));
  }
}

KERNEL_TEST(the_gradient_of_swiglu_and_the_optimizer_agree_with_the_reference) {
  Random random(74);
  for (int i = 0; i < 200; ++i) {
    const std::uint32_t n = length(random);
    const Values kind = random.pick(all_values);
    const GuardedBuffer<float> gate = random_row(random, n, kind), up = random_row(random, n, kind);
    const GuardedBuffer<float> dout = random_row(random, n, kind);
    GuardedBuffer<float> dgate(n), dup(n), got_gate = gate, got_up = up;
    scalar().training->swiglu_backward(gate.data(), up.data(), dout.data(), n, dgate.data(), dup.data());
    table.training->swiglu_backward(got_gate.data(), got_up.data(), dout.data(), n, got_gate.data(), got_up.data());
    require_same_bits<float>(dgate, got_gate, "gate");
    require_same_bits<float>(dup, got_up, "up");
    BOOST_REQUIRE(scalar().training->sum_of_squares(gate.data(), n) == table.training->sum_of_squares(gate.data(), n));

    GuardedBuffer<float> m = random_row(random, n, kind), v = random_row(random, n, kind), w = up;
    for (float& x : v) x = std::fabs(x);
    GuardedBuffer<float> got_m = m, got_v = v, got_w = w;
    const tessera_adamw_args args{0.7f, 0.9f, 0.99f, 0.1f, 0.01f, 2.0f, 3.0f, 1e-3f, 1e-4f, 1e-8f};
    scalar().training->adamw(&args, gate.data(), n, w.data(), m.data(), v.data());
    table.training->adamw(&args, gate.data(), n, got_w.data(), got_m.data(), got_v.data());
    require_same_bits<float>(w, got_w, "weight");
    require_same_bits<float>(m, got_m, "first moment");
    require_same_bits<float>(v, got_v, "second moment");
  }
}
