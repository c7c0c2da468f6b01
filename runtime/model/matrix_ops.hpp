// The launchers: packed matrices times activations, spread over a thread pool, in the orders of docs/exactness.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/device/aligned_buffer.hpp"
#include "runtime/model/activations.hpp"
#include "runtime/tensor/block_plan.hpp"
#include "runtime/tensor/canonical_tree.hpp"

namespace tessera {

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

/// The matrices of a feed-forward network before its last one.
struct FeedForwardMatrices {
  const MappedTensor* gate = nullptr;  ///< null: out = activation(up)
  const MappedTensor* up = nullptr;
  const float* gate_bias = nullptr;  ///< of the first unit that is multiplied, and on; null: none
  const float* up_bias = nullptr;
  Activation activation = Activation::silu;
};

/// The feed-forward network up to its last matrix: out = activation(gate · x) * (up · x), piece by piece, so that
/// products meet in the cache and nothing of them is written to memory but `out`.
class GatedColumns {
 public:
  /// `gate` and `up` have one shape; `units` of each are multiplied. out has the columns of those units.
  void run(const ComputeContext& context, const FeedForwardMatrices& matrices, SliceRange units, const Activations& x,
           Activations& out);
  std::size_t bytes() const { return pieces_.size() * sizeof(float); }

 private:
  AlignedBuffer<float> pieces_;  // products of both, per worker
};

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
