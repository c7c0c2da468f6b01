#include "runtime/tensor/shard_memory.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <initializer_list>
#include <limits>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/tensor/canonical_tree.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t lanes = 16;
constexpr std::uint32_t block = 32;

std::uint32_t round_up(std::uint32_t value, std::uint32_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::uint64_t product(std::initializer_list<std::uint64_t> factors) {
  std::uint64_t result = 1;
  for (const std::uint64_t factor : factors) {
    if (factor == 0) return 0;
    if (__builtin_mul_overflow(result, factor, &result)) result = std::numeric_limits<std::uint64_t>::max();
  }
  return result;
}

std::uint64_t bytes_of_units(const TensorLayout& layout, SliceRange units) {
  return layout_unit_offset(layout, units.end) - layout_unit_offset(layout, units.begin);
}

std::uint64_t layer_bytes(const ModelShape& shape, const SliceGeometry& geometry, DType dtype,
                          const ShardSlices& slices, std::uint32_t layer) {
  std::uint64_t bytes = 0;
  for (int i = 0; i < layer_tensor_count; ++i) {
    const auto tensor = static_cast<LayerTensor>(i);
    if (!has_tensor(shape.plan, layer, tensor)) continue;
    bytes += bytes_of_units(layer_tensor_layout(shape, geometry, dtype, tensor),
                            layer_units(shape, geometry, slices, tensor));
  }
  for (int i = 0; i < expert_tensor_count; ++i) {
    bytes += experts_of(shape.plan, layer) *
             bytes_of_units(expert_tensor_layout(shape, dtype, static_cast<ExpertTensor>(i)), expert_units(slices));
  }
  return bytes;
}

std::uint64_t weight_bytes(const ModelShape& shape, const SliceGeometry& geometry, const WeightTypes& types,
                           const ShardAssignment& assignment) {
  const TensorLayout embedding = vocabulary_layout(shape, geometry, embedding_dtype(shape, types));
  const TensorLayout head = vocabulary_layout(shape, geometry, types.head);
  // Layers are of at most two kinds; each is counted once.
  std::array<std::uint64_t, 2> bytes_of_kind{};
  std::array<bool, 2> is_counted{};
  std::uint64_t layers = 0;
  for (std::uint32_t layer = assignment.layers.begin; layer < assignment.layers.end; ++layer) {
    const std::size_t kind = shape.plan.has_experts(layer) ? 1 : 0;
    if (!std::exchange(is_counted[kind], true)) {
      bytes_of_kind[kind] = layer_bytes(shape, geometry, types.layers, assignment.slices(), layer);
    }
    layers += bytes_of_kind[kind];
  }
  const std::uint64_t norms = bytes_of_units(VectorLayout{shape.dim}, final_norm_units(shape, assignment)) +
                              bytes_of_units(VectorLayout{shape.dim}, embedding_norm_units(shape, assignment));
  return bytes_of_units(embedding, embedding_units(shape, geometry, assignment)) +
         bytes_of_units(positions_layout(shape, geometry), position_units(shape, geometry, assignment)) +
         bytes_of_units(head, head_units(shape, assignment)) + norms * (shape.plan.norm == NormKind::layer ? 2 : 1) +
         layers;
}

/// Of activations in the form that the weights multiply.
std::uint64_t activation_bytes(DType dtype, std::uint64_t rows, std::uint32_t k) {
  switch (dtype) {
    case DType::f32:
      return 0;
    case DType::bf16:  // of modules that widen
      return rows * round_up(k, 2) * sizeof(float);
    case DType::q8:
    case DType::q4:  // a byte each, and a scale and a correction per block
      return quantised_entries(rows, k) * (block + 4 + 4);
  }
  TESSERA_ENSURE(false);
}

/// Vectors that meet in the exchange of one row-parallel matrix, and the memory that one worker adds slices in.
struct ExchangeBytes {
  std::uint64_t nodes = 0;
  std::uint64_t stack = 0;

  ExchangeBytes(const ShardAssignment& assignment, std::uint32_t slices, SliceRange ShardSlices::*kind,
                std::uint64_t rows, std::uint32_t stride) {
    const std::uint32_t shards = assignment.stage.shards();
    std::uint64_t total = 0;
    for (std::uint32_t rank = 0; rank < shards; ++rank) {
      total += schedule_run(slices, assignment.stage.of(ShardRank{rank}).*kind).results.size();
    }
    const TreeSchedule own = schedule_run(slices, assignment.slices().*kind);
    // All of everyone, or, by token rows, the own ones and everyone's for the own rows.
    const std::uint64_t own_rows = (rows + shards - 1) / shards;
    nodes = std::max(total * rows, own.results.size() * rows + total * own_rows) * stride * sizeof(float);
    const std::uint64_t tile = own.depth_max * rows * lanes * sizeof(float);
    stack = std::min(std::max<std::uint64_t>(partial_stack_bytes, 2 * tile), tile * round_up(stride / lanes, 2));
  }
};

/// Of one worker: products of both gated matrices, with the padding of the last slice.
std::uint64_t gated_piece_bytes(std::uint32_t ffn_dim, SliceRange slices, std::uint32_t rows) {
  if (slices.empty()) return 0;
  const FfnSlices ffn = FfnSlices::of(ffn_dim);
  const std::uint32_t missing = slices.end == ffn.count ? ffn.count * ffn.columns - ffn_dim : 0;
  const std::uint32_t padded = missing / lanes, tiles = slices.count() * ffn.columns / lanes - padded;
  return std::uint64_t{std::min(tiles, gated_tiles_max(rows) + tiles % 2) + padded} * rows * lanes * 2 * sizeof(float);
}

/// What a mixture of experts takes besides: see runtime/model/experts.cpp.
std::uint64_t expert_bytes(const ModelShape& shape, DType dtype, const ShardStrides& strides, std::uint64_t rows,
                           std::uint32_t threads, std::uint32_t depth) {
  if (shape.plan.experts == 0) return 0;
  const std::uint64_t pairs = rows * shape.plan.experts_used, router = round_up(shape.plan.experts, lanes);
  // Rows of one expert lie in groups, of which the last may have one row.
  const std::uint64_t hidden =
      dtype == DType::f32 ? pairs * strides.ffn * sizeof(float) : activation_bytes(dtype, 2 * pairs, strides.ffn);
  const std::uint64_t tile = (depth + 1) * rows * lanes * sizeof(float);
  const std::uint64_t stack =
      std::min(std::max<std::uint64_t>(partial_stack_bytes, 2 * tile), tile * round_up(strides.dim / lanes, 2));
  // Of fewer rows than all, an expert's products fill the buffer of gated_bytes more closely.
  const std::uint64_t pieces = gated_bytes + 4 * rows * lanes * 2 * sizeof(float);
  return (rows * (2 * router + strides.dim) + pairs * 2) * sizeof(float) + activation_bytes(dtype, rows, shape.dim) +
         hidden + threads * (stack + pieces);
}

std::uint64_t buffer_bytes(const ModelShape& shape, const SliceGeometry& geometry, DType dtype,
                           const ShardAssignment& assignment, const ShardMemoryOptions& options) {
  const ShardStrides strides = ShardStrides::of(shape, geometry, assignment.slices());
  const std::uint64_t rows = reserved_rows(std::min(options.rows_max, step_rows_max(shape)));
  const std::uint32_t ffn_stride = std::max(strides.ffn, strides.dense_ffn);
  const bool changes = shape.plan.changes_attention_output() || shape.plan.changes_ffn_output();
  const std::uint64_t per_row = (changes ? 3 : 2) * std::uint64_t{strides.dim} + strides.query +
                                2 * std::uint64_t{strides.kv} + strides.attention +
                                (shape.plan.local_rope ? 2 : 1) * std::uint64_t{shape.rope_width()} +
                                (dtype == DType::f32 ? ffn_stride : 0);
  std::uint64_t bytes = rows * per_row * sizeof(float);
  bytes += activation_bytes(dtype, rows, shape.dim) + activation_bytes(dtype, rows, strides.attention) +
           activation_bytes(dtype, rows, ffn_stride);
  const ExchangeBytes attention(assignment, geometry.attention_slices, &ShardSlices::attention, rows, strides.dim);
  const ExchangeBytes ffn(assignment, geometry.ffn_slices, &ShardSlices::ffn, rows, strides.dim);
  const FfnSlices dense_slices = FfnSlices::of(shape.plan.dense_ffn_dim);
  const ShardAssignment dense{assignment.layers, assignment.stage.with_ffn(geometry.ffn_slices, dense_slices.count),
                              assignment.rank};
  const ExchangeBytes dense_ffn(dense, dense_slices.count, &ShardSlices::ffn, rows, strides.dim);
  bytes += std::max({attention.nodes, ffn.nodes, dense_ffn.nodes});
  bytes += expert_bytes(shape, dtype, strides, rows, options.threads,
                        schedule_run(geometry.ffn_slices, assignment.slices().ffn).depth_max);
  bytes +=
      options.threads *
      (std::max({attention.stack, ffn.stack, dense_ffn.stack}) +
       std::max(gated_piece_bytes(shape.ffn_dim, assignment.slices().ffn, static_cast<std::uint32_t>(rows)),
                gated_piece_bytes(shape.plan.dense_ffn_dim, dense.slices().ffn, static_cast<std::uint32_t>(rows))) +
       attention_scratch_floats(shape.head_dim) * sizeof(float));
  if (assignment.last(shape) && shape.plan.head) {
    const std::uint64_t block_rows = std::min<std::uint64_t>(rows, logits_rows_per_block);
    const std::uint32_t own = vocabulary_rows(shape, geometry, assignment.slices().vocab);
    bytes += block_rows * (strides.vocab + (own == strides.vocab ? 0 : own)) * sizeof(float);
    // What is gathered, and the same as whole rows.
    if (assignment.root(shape) && assignment.stage.shards() > 1) {
      bytes += 2 * block_rows * shape.vocab_size * sizeof(float);
    }
  }
  return bytes;
}

}  // namespace

ShardStrides ShardStrides::of(const ModelShape& shape, const SliceGeometry& geometry, const ShardSlices& slices) {
  const std::uint32_t slice_width = geometry.attention_heads * shape.head_dim;
  ShardStrides strides;
  strides.dim = round_up(shape.dim, lanes);
  strides.query = slices.attention.count() * round_up(slice_width, lanes);
  strides.kv_head = round_up(shape.head_dim, lanes);
  strides.kv = slices.kv_heads(shape, geometry).count() * strides.kv_head;
  strides.attention = slices.attention.count() * round_up(slice_width, block);
  strides.ffn = slices.ffn.count() * geometry.ffn_columns;
  strides.dense_ffn = slices.dense_ffn(shape, geometry).count() * FfnSlices::of(shape.plan.dense_ffn_dim).columns;
  strides.vocab = round_up(vocabulary_rows(shape, geometry, slices.vocab), lanes);
  return strides;
}

std::uint32_t reserved_rows(std::uint32_t rows) {
  return rows >= limits::sequence_rows_max ? limits::sequence_rows_max : std::bit_ceil(rows);
}

std::uint64_t kv_page_bytes(const ModelShape& shape, DType weights, std::uint32_t page_positions) {
  return std::uint64_t{page_positions} * shape.head_dim * bytes_per_element(kv_dtype_for(weights));
}

ShardMemory shard_memory(const ModelShape& shape, const SliceGeometry& geometry, const WeightTypes& types,
                         const ShardAssignment& assignment, const ShardMemoryOptions& options) {
  ShardMemory memory;
  memory.weight_bytes = weight_bytes(shape, geometry, types, assignment);
  memory.kv_bytes = product({kv_page_bytes(shape, types.layers, options.page_positions), options.kv_pages,
                             assignment.layers.count(), assignment.slices().kv_heads(shape, geometry).count(), 2});
  memory.buffer_bytes = buffer_bytes(shape, geometry, types.layers, assignment, options);
  return memory;
}

}  // namespace tessera
