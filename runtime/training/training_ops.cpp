#include "runtime/training/training_ops.hpp"

#include <algorithm>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

/// Rows of C in one task: whole register tiles of every instruction set (14 and 6 rows), and enough of them that
/// packing B for each task again does not count.
constexpr std::uint32_t task_rows_grain = 42;
constexpr std::uint32_t task_rows_min = 84;

}  // namespace

TrainingOps::TrainingOps(const tessera_op_table& table, ThreadPool& pool, bool round_bf16)
    : table_(table), pool_(pool), round_bf16_(round_bf16 ? 1 : 0) {
  TESSERA_ENSURE(table.training != nullptr);
  for (std::uint32_t i = 0; i < pool.threads(); ++i) scratch_.emplace_back(TESSERA_GEMM_SCRATCH);
}

void TrainingOps::multiply_here(std::uint32_t worker, MatrixOperand a, MatrixOperand b, std::uint32_t m,
                                std::uint32_t n, std::uint32_t k, float* c, std::size_t ldc, bool accumulate) {
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
  args.round_bf16 = round_bf16_;
  args.scratch = scratch_[worker].data();
  training().gemm(&args);
}

void TrainingOps::multiply(MatrixOperand a, MatrixOperand b, std::uint32_t m, std::uint32_t n, std::uint32_t k,
                           float* c, bool accumulate) {
  // Blocks of rows, and of columns where the rows alone do not feed all threads.
  const std::uint32_t threads = pool_.threads();
  const std::uint32_t wanted = 2 * threads;
  std::uint32_t rows = std::max(task_rows_min, (m + wanted - 1) / wanted);
  rows = (rows + task_rows_grain - 1) / task_rows_grain * task_rows_grain;
  const std::uint32_t row_tasks = (m + rows - 1) / rows;
  const std::uint32_t columns = row_tasks >= threads ? n : std::min<std::uint32_t>(n, TESSERA_GEMM_COLUMNS);
  const std::uint32_t column_tasks = (n + columns - 1) / columns;
  pool_.run(row_tasks * column_tasks, [&](std::uint32_t task, std::uint32_t worker) {
    const std::uint32_t i = task / column_tasks * rows, j = task % column_tasks * columns;
    multiply_here(worker, {a.data + i * a.row, a.row, a.column}, {b.data + j * b.column, b.row, b.column},
                  std::min(rows, m - i), std::min(columns, n - j), k, c + std::size_t{i} * n + j, n, accumulate);
  });
}

}  // namespace tessera
