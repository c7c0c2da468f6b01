#include "runtime/tensor/shard_assignment.hpp"

#include <algorithm>
#include <string>

#include "runtime/base/ensure.hpp"

namespace tessera {

Result<void> validate(const ShardAssignment& assignment, const ModelShape& shape) {
  const SliceRange layers = assignment.layers;
  if (layers.begin >= layers.end || layers.end > shape.layers) {
    return Error{ErrorCode::corrupt, "a shard is to compute layers " + std::to_string(layers.begin) + " to " +
                                         std::to_string(layers.end) + " of a model of " + std::to_string(shape.layers) +
                                         ": the plan was made for another model"};
  }
  if (assignment.rank.value >= assignment.stage.shards()) {
    return Error{ErrorCode::corrupt, "rank " + std::to_string(assignment.rank.value) + " in a stage of " +
                                         std::to_string(assignment.stage.shards()) + " shards"};
  }
  return {};
}

SliceRange layer_units(const ModelShape& shape, const SliceGeometry& geometry, const ShardSlices& slices,
                       LayerTensor tensor) {
  const auto whole_vector = [](SliceRange reader) { return reader.empty() ? SliceRange{} : SliceRange{0, 1}; };
  const SliceRange dense = slices.dense_ffn(shape, geometry);
  switch (tensor) {
    case LayerTensor::attn_norm:
    case LayerTensor::attn_norm_bias:
      return shape.plan.sum_norms ? SliceRange{0, 1} : whole_vector(slices.attention);
    case LayerTensor::attn_q_norm:
    case LayerTensor::attn_k_norm:
      return whole_vector(slices.attention);
    case LayerTensor::attn_q:
    case LayerTensor::attn_q_bias:
    case LayerTensor::attn_out:
      return slices.attention;
    case LayerTensor::attn_k:
    case LayerTensor::attn_k_bias:
    case LayerTensor::attn_v:
    case LayerTensor::attn_v_bias:
      return slices.kv_heads(shape, geometry);
    case LayerTensor::ffn_norm:
    case LayerTensor::ffn_norm_bias:
      return shape.plan.sum_norms ? SliceRange{0, 1} : whole_vector(slices.ffn.empty() ? dense : slices.ffn);
    case LayerTensor::router:
      return whole_vector(slices.ffn);
    case LayerTensor::ffn_gate:
    case LayerTensor::ffn_gate_bias:
    case LayerTensor::ffn_up:
    case LayerTensor::ffn_up_bias:
    case LayerTensor::ffn_down:
      return shape.plan.experts != 0 ? dense : slices.ffn;
    case LayerTensor::attn_out_bias:
    case LayerTensor::attn_post_norm:
    case LayerTensor::ffn_down_bias:
    case LayerTensor::ffn_post_norm:
      return {0, 1};
  }
  TESSERA_ENSURE(false);
}

SliceRange embedding_units(const ModelShape& shape, const SliceGeometry& geometry, const ShardAssignment& assignment) {
  if (assignment.first()) return {0, geometry.vocab_slices};
  return shape.tied_head && assignment.last(shape) ? assignment.slices().vocab : SliceRange{};
}

SliceRange expert_units(const ShardSlices& slices) { return slices.ffn; }

SliceRange position_units(const ModelShape& shape, const SliceGeometry& geometry, const ShardAssignment& assignment) {
  if (!assignment.first() || shape.plan.positions != PositionKind::learned) return {};
  return {0, positions_layout(shape, geometry).units()};
}

SliceRange embedding_norm_units(const ModelShape& shape, const ShardAssignment& assignment) {
  return assignment.first() && shape.plan.embedding_norm ? SliceRange{0, 1} : SliceRange{};
}

SliceRange final_norm_units(const ModelShape& shape, const ShardAssignment& assignment) {
  if (!assignment.last(shape) || shape.plan.sum_norms) return {};
  const bool gives_logits = shape.plan.head && !assignment.slices().vocab.empty();
  return assignment.root(shape) || gives_logits ? SliceRange{0, 1} : SliceRange{};
}

SliceRange head_units(const ModelShape& shape, const ShardAssignment& assignment) {
  return assignment.last(shape) && shape.plan.head && !shape.tied_head ? assignment.slices().vocab : SliceRange{};
}

std::uint32_t vocabulary_rows(const ModelShape& shape, const SliceGeometry& geometry, SliceRange slices) {
  if (slices.empty()) return 0;
  return std::min(shape.vocab_size, slices.end * geometry.vocab_rows) - slices.begin * geometry.vocab_rows;
}

}  // namespace tessera
