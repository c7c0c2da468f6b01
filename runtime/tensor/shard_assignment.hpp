// ShardAssignment: which part of a model one shard computes: a run of layers (its pipeline stage) and, in every one of
// them, its slices.
//
//             stage 0: layers 0..11        stage 1: layers 12..23
//   embed ─►  rank 0 │ rank 1         x ─► rank 0 │ rank 1 │ rank 2  ─► final norm, logits
//
// The functions below say which units of which tensors such a shard reads: what is mapped and what is budgeted follow
// from the same list.
#pragma once

#include <cstdint>

#include "runtime/base/result.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/model_tensors.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

struct ShardAssignment {
  SliceRange layers;  ///< of the whole model
  ShardPlan stage;    ///< how the slices of these layers are dealt to the shards of the stage
  ShardRank rank;     ///< inside the stage

  const ShardSlices& slices() const { return stage.of(rank); }
  /// The first stage embeds; the last one gives hidden states and logits. One stage may be both.
  bool first() const { return layers.begin == 0; }
  bool last(const ModelShape& shape) const { return layers.end == shape.layers; }
  /// Whether the logits are gathered at this shard.
  bool root(const ModelShape& shape) const { return last(shape) && rank.value == 0; }
};

/// Layers inside the model and not empty, rank inside the stage.
Result<void> validate(const ShardAssignment& assignment, const ModelShape& shape);

/// Units of a tensor of each of its layers that the shard reads; empty: none. Of a tensor that the plan has. What is
/// done to whole rows of the residual stream, each shard does for itself.
SliceRange layer_units(const ModelShape& shape, const SliceGeometry& geometry, const ShardSlices& slices,
                       LayerTensor tensor);
/// Of a matrix of each expert.
SliceRange expert_units(const ShardSlices& slices);
/// Of the embedding: all in the first stage, where every shard looks tokens up by itself; in the last stage of a model
/// with a tied head the shard's vocabulary slices.
SliceRange embedding_units(const ModelShape& shape, const SliceGeometry& geometry, const ShardAssignment& assignment);
/// Of learned positions: all in the first stage.
SliceRange position_units(const ModelShape& shape, const SliceGeometry& geometry, const ShardAssignment& assignment);
/// Of the norm of the embedding: in the first stage.
SliceRange embedding_norm_units(const ModelShape& shape, const ShardAssignment& assignment);
/// Of the final norm: in the last stage, for vocabulary slices, and at the root, which gives hidden states.
SliceRange final_norm_units(const ModelShape& shape, const ShardAssignment& assignment);
/// Of the head; always empty when it is tied or there is none.
SliceRange head_units(const ModelShape& shape, const ShardAssignment& assignment);

/// Logical rows of the vocabulary inside a run of its slices.
std::uint32_t vocabulary_rows(const ModelShape& shape, const SliceGeometry& geometry, SliceRange slices);

}  // namespace tessera
