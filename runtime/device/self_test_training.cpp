#include <cstddef>

#include "runtime/device/self_test_inputs.hpp"

namespace tessera::self_test_detail {

std::uint32_t hash_gemm(const tessera_op_table& table) {
  if (table.training == nullptr) return 0;
  constexpr std::uint32_t m = 17, n = 37, k = 260;  // tails of every tile, and of a panel of K
  const auto a = values(30, m * k), b = values(31, k * n);
  auto c = values(32, m * n);
  AlignedBuffer<float> scratch(TESSERA_GEMM_SCRATCH), packed(2 * TESSERA_GEMM_TILE * k);
  tessera_gemm_args args{};
  args.a = a.data();
  args.a_row = k;
  args.a_column = 1;
  args.b = b.data();
  args.b_row = n;
  args.b_column = 1;
  args.c = c.data();
  args.ldc = n;
  args.m = m;
  args.n = n;
  args.k = k;
  args.scratch = scratch.data();
  table.training->gemm(&args);
  Hash hash;
  hash.add(c.data(), c.size());
  // Both operands turned, packed beforehand, rounded, added to what is there.
  args.a_row = 1;
  args.a_column = m;
  args.b_row = 1;
  args.b_column = k;
  args.accumulate = 1;
  args.round_bf16 = 1;
  table.training->gemm_pack(&args, 0, n, packed.data());
  args.packed_b = packed.data();
  table.training->gemm(&args);
  hash.add(c.data(), c.size());
  return hash.value();
}

std::uint32_t hash_backward(const tessera_op_table& table) {
  if (table.training == nullptr) return 0;
  const tessera_training_ops& ops = *table.training;
  constexpr std::uint32_t n = 203, rows = 3;
  const auto x = values(33, n * rows), dy = values(34, n * rows), weight = values(35, n);
  auto dx = values(36, n * rows), dweight = values(37, n), p = values(38, n), d = values(39, n);
  float r[rows];
  for (std::size_t row = 0; row < rows; ++row) {
    r[row] =
        ops.rms_norm_backward(x.data() + row * n, weight.data(), dy.data() + row * n, 1e-5f, n, dx.data() + row * n);
  }
  ops.rms_norm_weight_backward(x.data(), dy.data(), n, r, rows, n, dweight.data());
  const tessera_softmax_sums sums = ops.softmax(p.data(), 7.0f, n, p.data());
  ops.softmax_backward(p.data(), d.data(), 7.0f, n, d.data());
  Hash hash;
  hash.add(r, rows);
  hash.add(dx.data(), dx.size());
  hash.add(dweight.data(), dweight.size());
  hash.add(&sums.max, 1);
  hash.add(&sums.sum, 1);
  hash.add(p.data(), p.size());
  hash.add(d.data(), d.size());
  ops.swiglu_backward(x.data(), dy.data(), weight.data(), n, p.data(), d.data());
  hash.add(p.data(), p.size());
  hash.add(d.data(), d.size());
  const float squares = ops.sum_of_squares(x.data(), n);
  hash.add(&squares, 1);
  const tessera_adamw_args adamw{0.7f, 0.9f, 0.99f, 0.1f, 0.01f, 2.0f, 3.0f, 1e-3f, 1e-4f, 1e-8f};
  AlignedBuffer<float> second(n);
  auto w = values(40, n);
  for (int step = 0; step < 2; ++step) ops.adamw(&adamw, dx.data(), n, w.data(), dweight.data(), second.data());
  hash.add(w.data(), w.size());
  hash.add(dweight.data(), dweight.size());
  hash.add(second.data(), second.size());
  return hash.value();
}

}  // namespace tessera::self_test_detail
