// Activations in the form that weights multiply.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/abi/kernel_abi.h"
#include "runtime/device/aligned_buffer.hpp"
#include "runtime/device/thread_pool.hpp"
#include "runtime/tensor/dtype.hpp"

namespace tessera {

/// What a launcher computes with. Both outlive it.
struct ComputeContext {
  const tessera_op_table* ops;
  ThreadPool* pool;
};

/// Rows of activations in the form that weights of one dtype multiply: f32 as they are, rounded to bf16 for bf16,
/// quantised for q8 and q4.
class Activations {
 public:
  /// Rows that one task makes: whole groups of quantised rows.
  static constexpr std::uint32_t rows_per_task = TESSERA_ROW_GROUP;

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
    start(context, rows);
    x_ = x;
    ldx_ = ldx;
    context.pool->run((rows + rows_per_task - 1) / rows_per_task, [&](std::uint32_t task, std::uint32_t) {
      const std::uint32_t first = task * rows_per_task, count = std::min(rows_per_task, rows - first);
      for (std::uint32_t row = first; row < first + count; ++row) fill(row);
      prepare_rows(*context.ops, first, count);
    });
  }

  /// The other way to fill them: begin(), then put() for ranges of columns that together are all of them.
  void begin(const ComputeContext& context, std::uint32_t rows);
  /// Columns [column, column + width) of all rows, from x [rows][ldx]. `column` is a multiple of 32, and so is `width`
  /// but for the last columns.
  void put(const tessera_op_table& ops, const float* x, std::size_t ldx, std::uint32_t column, std::uint32_t width);

  std::uint32_t rows() const { return rows_; }
  /// Columns with their padding.
  std::uint32_t columns() const { return k_; }
  /// Reads columns [column, …) of every row; but for f32 `column` is a multiple of 32.
  const float* f32(std::size_t column) const { return x_ + column; }
  std::size_t ldx() const { return ldx_; }
  tessera_bf16_rows bf16(std::size_t column) const;
  tessera_q8_rows q8(std::size_t column) const;
  /// Of the copy that prepare() or put() makes.
  std::size_t bytes() const {
    return own_.size() * sizeof(float) + values_.size() + scales_.size() * sizeof(float) +
           corrections_.size() * sizeof(std::int32_t);
  }

 private:
  void start(const ComputeContext& context, std::uint32_t rows);
  void prepare_rows(const tessera_op_table& ops, std::uint32_t begin, std::uint32_t count);

  DType weights_ = DType::f32;
  std::uint32_t k_ = 0;
  std::uint32_t rows_ = 0;
  std::uint32_t rows_max_ = 0;
  const float* x_ = nullptr;
  std::size_t ldx_ = 0;
  tessera_bf16_form bf16_form_ = TESSERA_BF16_WIDENED;
  mutable AlignedBuffer<float> own_;  // bf16, of the size of the larger form; f32 that was put()
  mutable AlignedBuffer<std::int8_t> values_;
  mutable AlignedBuffer<float> scales_;
  mutable AlignedBuffer<std::int32_t> corrections_;
};

}  // namespace tessera
