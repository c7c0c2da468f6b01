// Slices: the smallest units of tensor-parallel work, and how they are dealt to shards.
//
// A model has three independent runs of slices: attention (whole query heads), FFN (columns) and vocabulary (rows).
// Their sizes are a function of the model's shape alone and are stored in the checkpoint, so the bits of a result never
// depend on the number of shards.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

/// Half-open run of slices [begin, end).
struct SliceRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::uint32_t count() const { return end - begin; }
  bool empty() const { return begin == end; }
  bool contains(std::uint32_t slice) const { return begin <= slice && slice < end; }
  bool operator==(const SliceRange&) const = default;
};

/// What both runs hold; empty when they do not meet.
SliceRange overlap(SliceRange a, SliceRange b);

/// Sizes and counts of the three kinds of slices of one model.
struct SliceGeometry {
  std::uint32_t attention_heads = 0;  ///< query heads per slice (the last may hold fewer)
  std::uint32_t attention_slices = 0;
  std::uint32_t ffn_columns = 0;  ///< FFN columns per slice (the last is zero-padded)
  std::uint32_t ffn_slices = 0;
  std::uint32_t vocab_rows = 1024;  ///< vocabulary rows per slice (the last may hold fewer)
  std::uint32_t vocab_slices = 0;

  bool operator==(const SliceGeometry&) const = default;

  /// The largest of the three: more shards than this are refused.
  std::uint32_t slice_count() const;

  /// The geometry that docs/exactness.md prescribes for a (validated) shape.
  static SliceGeometry of(const ModelShape& shape);
};

/// How one feed-forward network is cut.
struct FfnSlices {
  std::uint32_t columns = 0;  ///< per slice (the last is zero-padded)
  std::uint32_t count = 0;
  static FfnSlices of(std::uint32_t ffn_dim);
};

/// The run of a network of `slices` that goes with a run of one of `of`: both in the same shares.
SliceRange same_share(SliceRange run, std::uint32_t of, std::uint32_t slices);

/// What one shard holds.
struct ShardSlices {
  SliceRange attention;
  SliceRange ffn;
  SliceRange vocab;

  bool operator==(const ShardSlices&) const = default;

  /// KV heads that the attention slices read; empty when there are none.
  SliceRange kv_heads(const ModelShape& shape, const SliceGeometry& geometry) const;
  /// Slices of the one network of layers without experts, in models with experts (BlockPlan::dense_layers); else none.
  SliceRange dense_ffn(const ModelShape& shape, const SliceGeometry& geometry) const;
};

/// Deals all slices to shards, contiguously and in rank order. Ranks may get no slice of a kind.
class ShardPlan {
 public:
  /// Even shares. Refuses 0 shards and more shards than slice_count(), naming the count.
  static Result<ShardPlan> even(const SliceGeometry& geometry, std::uint32_t shards);
  /// Shares in proportion to positive weights, one per shard.
  static Result<ShardPlan> weighted(const SliceGeometry& geometry, std::span<const double> weights);
  /// Shares as somebody else dealt them, in rank order. Refuses what does not tile the slices of each kind.
  static Result<ShardPlan> from(const SliceGeometry& geometry, std::vector<ShardSlices> shards);

  ShardPlan() = default;  ///< no shards

  /// The same shares of a feed-forward network of `slices` in place of one of `of`.
  ShardPlan with_ffn(std::uint32_t of, std::uint32_t slices) const;

  std::uint32_t shards() const { return static_cast<std::uint32_t>(shards_.size()); }
  const ShardSlices& of(ShardRank rank) const { return shards_[rank.value]; }
  bool operator==(const ShardPlan&) const = default;

 private:
  std::vector<ShardSlices> shards_;
};

}  // namespace tessera
