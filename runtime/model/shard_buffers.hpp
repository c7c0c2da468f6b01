// ModelShard::Buffers: everything that a step writes. Only for the files that implement ModelShard.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/device/aligned_buffer.hpp"
#include "runtime/model/experts.hpp"
#include "runtime/model/matrix_ops.hpp"
#include "runtime/model/model_shard.hpp"
#include "runtime/model/partial_sums.hpp"
#include "runtime/tensor/shard_memory.hpp"

namespace tessera {

/// Rows of one sequence that one attention task takes: its queries share each K and V that they read. More of them, up
/// to so many queries, where that leaves enough tasks.
inline constexpr std::uint32_t attention_rows_per_task = 16;
inline constexpr std::uint32_t attention_queries_per_task = 128;
/// Rows per task of what is done row by row.
inline constexpr std::uint32_t rows_per_task = 8;

/// Rows of one sequence that follow each other in a step.
struct RowRun {
  std::uint32_t begin, count;
  std::uint32_t visible;  ///< positions that every row of an encoder sees
};

struct ModelShard::Buffers {
  Buffers(const ShardAssignment& assignment, const ModelShape& shape, const SliceGeometry& geometry,
          Collective& collective)
      : strides(ShardStrides::of(shape, geometry, assignment.slices())),
        attention_sums(assignment.stage, geometry.attention_slices, &ShardSlices::attention, collective),
        ffn_sums(assignment.stage, geometry.ffn_slices, &ShardSlices::ffn, collective) {
    if (shape.plan.dense_layers.empty()) return;
    const std::uint32_t slices = FfnSlices::of(shape.plan.dense_ffn_dim).count;
    dense_sums.emplace(assignment.stage.with_ffn(geometry.ffn_slices, slices), slices, &ShardSlices::ffn, collective);
  }

  std::uint32_t rows = 0;  ///< that the row buffers are sized for
  ShardStrides strides;
  PartialSums attention_sums, ffn_sums;
  std::optional<PartialSums> dense_sums;  ///< of the FFN in dense layers of a model with experts

  AlignedBuffer<float> x, normed, q, k, v, attention;
  AlignedBuffer<float> delta;                 ///< [rows][dim], where sums are changed before they are added to x
  AlignedBuffer<float> cos, sin;              ///< [rows][rope_width / 2]
  AlignedBuffer<float> local_cos, local_sin;  ///< of windowed layers that rotate otherwise
  AlignedBuffer<float> nodes;                 ///< partial sums of one matrix, see PartialSums
  AlignedBuffer<float> attention_scratch;
  std::vector<std::vector<const float*>> query_pointers;  ///< per worker
  std::vector<std::vector<float*>> output_pointers;
  std::vector<std::vector<std::uint32_t>> lengths, starts;
  std::vector<RowRun> attention_runs;
  Activations normed_activations, attention_activations, ffn_activations;
  RowParallel row_parallel;
  GatedColumns gated_columns;
  Experts experts;  ///< of models that have them

  // Logits of one block of rows.
  AlignedBuffer<float> own_logits_padded;  ///< as the matrix gives them, whole tiles
  AlignedBuffer<float> own_logits;         ///< [rows][own vocabulary rows]
  AlignedBuffer<float> gathered_logits;    ///< everyone's, one rank behind the other
  AlignedBuffer<float> logits;             ///< [rows][vocab_size]
  std::vector<std::uint64_t> logits_counts;
};

/// The floats of a vector, from the first unit that is mapped; null when nothing is.
inline const float* vector_of(const MappedTensor& tensor) {
  return tensor.bytes() == 0 ? nullptr : reinterpret_cast<const float*>(tensor.unit(tensor.units().begin));
}

/// Makes room for `count` elements; what was in the buffer is lost when it grows.
template <typename T>
void grow(AlignedBuffer<T>& buffer, std::size_t count) {
  if (buffer.size() >= count) return;
  buffer = {};
  buffer = AlignedBuffer<T>(count);
}

}  // namespace tessera
