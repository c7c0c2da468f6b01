// PartialSums: one row-parallel matrix over all shards of a stage. Every shard computes the sums of the complete
// subtrees inside its run of slices (its nodes); the shards exchange them and finish the canonical tree.
//
//   few bytes:   all_gather of all nodes; every shard finishes the tree for all rows
//   many bytes:  all_to_all by token rows: a shard receives everyone's nodes of its own rows only, finishes the tree
//   for
//                those, and an all_gather hands out the finished rows
//
// Both ways do the same additions in the same order, so the bits are the same.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/device/aligned_buffer.hpp"
#include "runtime/model/matrix_ops.hpp"
#include "runtime/tensor/canonical_tree.hpp"
#include "runtime/tensor/collective.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

/// Confined to the shard's thread. One exchange at a time: begin(), the matrix, finish().
class PartialSums {
 public:
  /// Of the matrix whose slices are of `kind`; the collective's ranks are those of `stage` and it outlives the object.
  PartialSums(const ShardPlan& stage, std::uint32_t slices, SliceRange ShardSlices::*kind, Collective& collective);
  PartialSums(const PartialSums&) = delete;
  PartialSums& operator=(const PartialSums&) = delete;

  /// How this shard adds its own slices.
  const TreeSchedule& own_schedule() const { return own_; }

  /// Where the results of own_schedule() go, [node][rows][stride], until finish(). `memory` is grown as needed.
  float* begin(std::uint32_t rows, std::uint32_t stride, AlignedBuffer<float>& memory);

  /// Adds the sum over all slices of the model to x [rows][stride].
  Result<void> finish(const ComputeContext& context, ExchangeTag tag, float* x);

 private:
  struct Rows {
    std::uint32_t begin, end;
  };
  /// The token rows that a rank finishes.
  Rows rows_of(std::uint32_t rank) const;
  /// Bytes that the rank with the most rows receives less when the exchange goes by token rows of `row` bytes. The same
  /// on every rank: own nodes count as the average.
  std::uint64_t bytes_spared_by_rows(std::uint64_t row) const;
  Result<void> gather_nodes(const ComputeContext& context, ExchangeTag tag, float* x);
  Result<void> scatter_rows(const ComputeContext& context, ExchangeTag tag, float* x);

  Collective& collective_;
  std::uint32_t rank_;
  TreeSchedule own_;
  TreeSchedule finish_;
  std::vector<std::uint32_t> nodes_of_rank_;
  std::uint32_t nodes_before_ = 0;  ///< nodes of lower ranks
  std::uint32_t nodes_ = 0;         ///< of all ranks

  // The exchange that is under way.
  std::uint32_t rows_count_ = 0;
  std::uint32_t stride_ = 0;
  bool scatter_ = false;
  float* memory_ = nullptr;
  // Kept from call to call, so that an exchange allocates nothing.
  std::vector<std::uint64_t> counts_;
  std::vector<std::vector<std::span<const float>>> pieces_;  ///< per rank, one per own node
  std::vector<Segments> send_;
  std::vector<std::span<float>> receive_;
};

}  // namespace tessera
