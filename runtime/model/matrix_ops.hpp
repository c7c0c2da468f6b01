// The launchers: packed matrices times activations, spread over a thread pool, in the orders of docs/exactness.md.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/abi/kernel_abi.h"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/device/aligned_buffer.hpp"
#include "runtime/device/thread_pool.hpp"
#include "runtime/tensor/canonical_tree.hpp"

namespace tessera {

/// What a launcher computes with. Both outlive it.
struct ComputeContext {
  const tessera_op_table* ops;
  ThreadPool* pool;
};

/// Rows of activations in the form that weights of one dtype multiply: f32 as they are; by prepare() rounded to bf16
/// for bf16 and quantised for q8 and q4.
class Activations {
 public:
  Activations() = default;
  /// For up to `rows` rows of k elements. k is padded to pairs for bf16 and to whole blocks for q8 and q4.
  Activations(DType weights, std::uint32_t rows, std::uint32_t k);

  /// Takes rows of x [rows][ldx]; x must stay as it is until the matrices are done.
  void prepare(const ComputeContext& context, const float* x, std::size_t ldx, std::uint32_t rows) {
    prepare(context, x, ldx, rows, [](std::uint32_t) {});
  }
  /// The same, where fill(row) makes each row first: it is taken while it is still in the cache.
  template <typename Fill>
  void prepare(const ComputeContext& context, const float* x, std::size_t ldx, std::uint32_t rows, const Fill& fill) {
    begin(context, x, ldx, rows);
    context.pool->run((rows + rows_per_task - 1) / rows_per_task, [&](std::uint32_t task, std::uint32_t) {
      const std::uint32_t first = task * rows_per_task, count = std::min(rows_per_task, rows - first);
      for (std::uint32_t row = first; row < first + count; ++row) fill(row);
      prepare_rows(*context.ops, first, count);
    });
  }

  std::uint32_t rows() const { return rows_; }
  /// Reads columns [column, …) of every row; but for f32 `column` is a multiple of 32.
  const float* f32(std::size_t column) const { return x_ + column; }
  std::size_t ldx() const { return ldx_; }
  tessera_bf16_rows bf16(std::size_t column) const;
  tessera_q8_rows q8(std::size_t column) const;
  /// Of the copy that prepare() makes.
  std::size_t bytes() const {
    return rounded_.size() * sizeof(float) + values_.size() + scales_.size() * sizeof(float) +
           corrections_.size() * sizeof(std::int32_t);
  }

 private:
  static constexpr std::uint32_t rows_per_task = 8;
  void begin(const ComputeContext& context, const float* x, std::size_t ldx, std::uint32_t rows);
  void prepare_rows(const tessera_op_table& ops, std::uint32_t begin, std::uint32_t count);

  DType weights_ = DType::f32;
  std::uint32_t k_ = 0;
  std::uint32_t rows_ = 0;
  const float* x_ = nullptr;
  std::size_t ldx_ = 0;
  tessera_bf16_form bf16_form_ = TESSERA_BF16_WIDENED;
  mutable AlignedBuffer<float> rounded_;  // bf16, of the size of the larger form
  mutable AlignedBuffer<std::int8_t> values_;
  mutable AlignedBuffer<float> scales_;
  mutable AlignedBuffer<std::int32_t> corrections_;
};

/// Floats between the first outputs of two neighbouring units of a row-split matrix, as column_parallel writes them.
std::uint32_t unit_output_stride(const PackedLayout& layout);

/// Some units of a column-parallel matrix, and where their products go:
/// y[row][(u - units.begin) * unit_output_stride + i] = output row i of unit u, for u in units. Padding rows of a tile
/// come out as zero; floats beyond the tiles of a short last unit are left as they are.
struct ColumnMatrix {
  const MappedTensor& weights;
  SliceRange units;
  float* y;
  std::size_t ldy;
};

/// Column-parallel matrices of one dtype and one number of columns times the same activations, as one operation.
void column_parallel(const ComputeContext& context, std::span<const ColumnMatrix> matrices, const Activations& x);

/// Two matrices of the same shape, and gate.y = silu(gate.y) * up.y while both are in the cache.
void gated_columns(const ComputeContext& context, const ColumnMatrix& gate, const ColumnMatrix& up,
                   const Activations& x);

/// Row-parallel: multiplies the slices of weights.units() with their columns of x (slice s at column (s - units.begin)
/// * unit_k) and adds them by `schedule`. results: [schedule.results.size()][rows][16 * tiles], contiguous.
class RowParallel {
 public:
  RowParallel() = default;
  void run(const ComputeContext& context, const MappedTensor& weights, const TreeSchedule& schedule,
           const Activations& x, float* results);
  std::size_t bytes() const { return stacks_.size() * sizeof(float); }

 private:
  AlignedBuffer<float> stacks_;  // one stack of partials per worker
};

/// Adds vectors of `count` floats that lie one after the other in `nodes` by `schedule` (in place) and then the root to
/// `into`.
void finish_tree(const ComputeContext& context, const TreeSchedule& schedule, float* nodes, std::size_t count,
                 float* into);

}  // namespace tessera
