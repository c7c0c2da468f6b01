// Memory arithmetic: what a shard will take, before anything is mapped or reserved. Placement budgets with it, the
// model's buffers are sized by it, and tests hold both to the same numbers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/shard_assignment.hpp"

namespace tessera {

/// Rows whose logits are gathered at once; more are taken in blocks of this size, so that memory does not grow with
/// the rows that want logits.
inline constexpr std::uint32_t logits_rows_per_block = 32;
/// Bytes of partial sums that one thread keeps while it adds slices, unless two tiles need more: they should stay in
/// its cache.
inline constexpr std::size_t partial_stack_bytes = 384u << 10;

/// Bytes of products of the two gated matrices that one thread keeps until they meet, unless two tiles need more.
inline constexpr std::size_t gated_bytes = 512u << 10;

/// Tiles of one of them that a thread takes at most for `rows` rows; an even number.
constexpr std::uint32_t gated_tiles_max(std::uint32_t rows) {
  const std::size_t fitting = gated_bytes / (std::size_t{rows} * 16 * 2 * sizeof(float));
  return fitting < 2 ? 2 : fitting > 1u << 20 ? 1u << 20 : static_cast<std::uint32_t>(fitting / 2 * 2);
}

/// Floats per row in the buffers of one shard, padded to whole vectors of 16.
struct ShardStrides {
  std::uint32_t dim = 0;        ///< residual stream, normed rows, vectors that are exchanged
  std::uint32_t query = 0;      ///< the shard's attention slices, each padded
  std::uint32_t kv_head = 0;    ///< one KV head
  std::uint32_t kv = 0;         ///< the shard's KV heads
  std::uint32_t attention = 0;  ///< the shard's attention slices, each padded to blocks of 32
  std::uint32_t ffn = 0;        ///< the shard's FFN columns, of one expert where there are several
  std::uint32_t dense_ffn = 0;  ///< the same in dense layers of a model with experts
  std::uint32_t vocab = 0;      ///< the shard's vocabulary rows

  static ShardStrides of(const ModelShape& shape, const SliceGeometry& geometry, const ShardSlices& slices);
};

/// Rows that buffers are sized for when a step of `rows` rows comes: they grow in powers of two, up to the
/// most that any model takes.
std::uint32_t reserved_rows(std::uint32_t rows);

/// Blocks of 32 that quantised activations of up to `rows` rows take: they lie in groups (kernel ABI).
constexpr std::size_t quantised_entries(std::size_t rows, std::size_t k) {
  constexpr std::size_t group = 12, block = 32;
  return (rows <= group ? rows : (rows + group - 1) / group * group) * ((k + block - 1) / block);
}

/// Floats of scratch that one thread needs for attention (TESSERA_ATTENTION_SCRATCH of the kernel ABI).
constexpr std::size_t attention_scratch_floats(std::uint32_t head_dim) { return 2048 + 256 * std::size_t{head_dim}; }

struct ShardMemoryOptions {
  std::uint32_t kv_pages = 0;
  std::uint32_t page_positions = 0;  ///< token positions per page
  std::uint32_t rows_max = 1;        ///< of one step
  std::uint32_t threads = 1;         ///< that compute for the shard
};

struct ShardMemory {
  std::uint64_t weight_bytes = 0;  ///< mapped; exact
  std::uint64_t kv_bytes = 0;      ///< reserved for all pages; exact
  std::uint64_t buffer_bytes = 0;  ///< of a step of rows_max rows; an upper bound
  std::uint64_t total() const { return weight_bytes + kv_bytes + buffer_bytes; }
};

/// For a validated assignment. Sums that do not fit 64 bits come out as the largest number.
ShardMemory shard_memory(const ModelShape& shape, const SliceGeometry& geometry, const WeightTypes& types,
                         const ShardAssignment& assignment, const ShardMemoryOptions& options);

/// Of one (layer, KV head): K or V of one page.
std::uint64_t kv_page_bytes(const ModelShape& shape, DType weights, std::uint32_t page_positions);

}  // namespace tessera
