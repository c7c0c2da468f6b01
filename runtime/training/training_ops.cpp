#include "runtime/training/training_ops.hpp"

#include <algorithm>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

/// Rows of C in one task: whole register tiles of every instruction set (14 and 6 rows).
constexpr std::uint32_t task_rows_grain = 42;
/// Columns in one task where the rows alone do not feed all threads.
constexpr std::uint32_t task_columns = 128;

tessera_gemm_args gemm_args(MatrixOperand a, MatrixOperand b, std::uint32_t m, std::uint32_t n, std::uint32_t k,
                            float* c, std::size_t ldc, bool accumulate, std::uint32_t round_bf16) {
  tessera_gemm_args args{};
  args.a = a.data;
  args.a_row = a.row;
  args.a_column = a.column;
  args.b = b.data;
  args.b_row = b.row;
  args.b_column = b.column;
  args.c = c;
  args.ldc = ldc;
  args.m = m;
  args.n = n;
  args.k = k;
  args.accumulate = accumulate ? 1 : 0;
  args.round_bf16 = round_bf16;
  return args;
}

}  // namespace

TrainingOps::TrainingOps(const tessera_op_table& table, ThreadPool& pool, bool round_bf16)
    : table_(table), pool_(pool), round_bf16_(round_bf16 ? 1 : 0) {
  TESSERA_ENSURE(table.training != nullptr);
  for (std::uint32_t i = 0; i < pool.threads(); ++i) scratch_.emplace_back(TESSERA_GEMM_SCRATCH);
}

void TrainingOps::multiply_here(std::uint32_t worker, MatrixOperand a, MatrixOperand b, std::uint32_t m,
                                std::uint32_t n, std::uint32_t k, float* c, std::size_t ldc, bool accumulate) {
  tessera_gemm_args args = gemm_args(a, b, m, n, k, c, ldc, accumulate, round_bf16_);
  args.scratch = scratch_[worker].data();
  training().gemm(&args);
}

void TrainingOps::multiply(MatrixOperand a, MatrixOperand b, std::uint32_t m, std::uint32_t n, std::uint32_t k,
                           float* c, bool accumulate) {
  const tessera_gemm_args whole = gemm_args(a, b, m, n, k, c, n, accumulate, round_bf16_);
  const std::size_t packed = (n + TESSERA_GEMM_TILE - 1) / TESSERA_GEMM_TILE * TESSERA_GEMM_TILE * std::size_t{k};
  if (packed_.size() < packed) {
    packed_ = {};
    packed_ = AlignedBuffer<float>(packed);
  }
  each_run(n, TESSERA_GEMM_TILE, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    training().gemm_pack(&whole, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), packed_.data());
  });
  const std::uint32_t threads = pool_.threads(), wanted = 2 * threads;
  std::uint32_t rows = std::min((m + wanted - 1) / wanted, TESSERA_GEMM_ROWS);
  rows = (rows + task_rows_grain - 1) / task_rows_grain * task_rows_grain;
  const std::uint32_t row_tasks = (m + rows - 1) / rows;
  const std::uint32_t columns = row_tasks >= wanted ? n : std::min(n, task_columns);
  const std::uint32_t column_tasks = (n + columns - 1) / columns;
  pool_.run(row_tasks * column_tasks, [&](std::uint32_t task, std::uint32_t worker) {
    const std::uint32_t i = task / column_tasks * rows, j = task % column_tasks * columns;
    tessera_gemm_args args = whole;
    args.a += i * a.row;
    args.packed_b = packed_.data() + std::size_t{j} * k;
    args.c += std::size_t{i} * n + j;
    args.m = std::min(rows, m - i);
    args.n = std::min(columns, n - j);
    args.scratch = scratch_[worker].data();
    training().gemm(&args);
  });
}

}  // namespace tessera
