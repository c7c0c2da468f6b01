// The op table's training half, spread over the threads of a pool. Which thread computes what never shows in a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/abi/kernel_abi.h"
#include "runtime/device/aligned_buffer.hpp"
#include "runtime/device/thread_pool.hpp"

namespace tessera {

/// A matrix in memory, or its transpose: element (i, j) lies at data[i * row + j * column].
struct MatrixOperand {
  const float* data;
  std::size_t row, column;

  /// Row-major with `columns` columns.
  static MatrixOperand plain(const float* data, std::size_t columns) { return {data, columns, 1}; }
  /// The transpose of a row-major matrix with `columns` columns.
  static MatrixOperand turned(const float* data, std::size_t columns) { return {data, 1, columns}; }
};

/// Confined to one thread, which computes on the pool. Table and pool outlive it.
class TrainingOps {
 public:
  /// `round_bf16`: the operands of every product are rounded to bf16; sums stay f32.
  TrainingOps(const tessera_op_table& table, ThreadPool& pool, bool round_bf16);

  const tessera_op_table& table() const { return table_; }
  const tessera_training_ops& training() const { return *table_.training; }
  ThreadPool& pool() const { return pool_; }

  /// C [m][n] = A B, or C + A B; rows of C are contiguous.
  void multiply(MatrixOperand a, MatrixOperand b, std::uint32_t m, std::uint32_t n, std::uint32_t k, float* c,
                bool accumulate);
  /// The same on the calling thread, `worker` of the pool, with rows of C `ldc` floats apart: for use inside of a task.
  void multiply_here(std::uint32_t worker, MatrixOperand a, MatrixOperand b, std::uint32_t m, std::uint32_t n,
                     std::uint32_t k, float* c, std::size_t ldc, bool accumulate);

  /// Calls task(begin, end, worker) for pieces of [0, count), each a multiple of `grain` long but the last.
  template <typename Task>
  void each_run(std::size_t count, std::size_t grain, const Task& task) {
    const std::size_t grains = (count + grain - 1) / grain;
    const std::size_t pieces = grains < 4 * std::size_t{pool_.threads()} ? grains : 4 * std::size_t{pool_.threads()};
    pool_.run(static_cast<std::uint32_t>(pieces), [&](std::uint32_t piece, std::uint32_t worker) {
      const std::size_t begin = grains * piece / pieces * grain;
      const std::size_t end = grains * (piece + 1) / pieces * grain;
      task(begin, end < count ? end : count, worker);
    });
  }

 private:
  const tessera_op_table& table_;
  ThreadPool& pool_;
  std::uint32_t round_bf16_;
  AlignedBuffer<float> packed_;                ///< B of the product under way
  std::vector<AlignedBuffer<float>> scratch_;  ///< per thread
};

}  // namespace tessera
