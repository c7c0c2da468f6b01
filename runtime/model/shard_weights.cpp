#include "runtime/model/shard_weights.hpp"

#include <initializer_list>
#include <string>
#include <utility>

namespace tessera {

namespace {

/// Calls visit(tensor) for every tensor of a layer.
template <typename Visit>
void for_each_tensor(const LayerWeights& layer, const Visit& visit) {
  for (const MappedTensor& tensor : layer.tensors) visit(tensor);
  for (const ExpertWeights& expert : layer.experts) {
    for (const MappedTensor* tensor : {&expert.gate, &expert.up, &expert.down}) visit(*tensor);
  }
}

template <typename Visit>
void for_each_tensor(const ShardWeights& weights, const Visit& visit) {
  visit(weights.embedding);
  visit(weights.positions);
  visit(weights.embedding_norm);
  visit(weights.embedding_norm_bias);
  for (const LayerWeights& layer : weights.layers) for_each_tensor(layer, visit);
  visit(weights.final_norm);
  visit(weights.final_norm_bias);
  visit(weights.head);
}

template <typename Weights>
bool any_failed(const Weights& weights) {
  bool any = false;
  for_each_tensor(weights, [&](const MappedTensor& tensor) { any = any || tensor.failed(); });
  return any;
}

/// The units that one shard maps.
struct WantedUnits {
  SliceRange layers;
  ShardSlices slices;
  SliceRange embedding, positions, embedding_norm, final_norm, head;
};

Result<void> map_units(const Checkpoint& checkpoint, const std::string& name, SliceRange units, MappedTensor& tensor) {
  if (units.empty()) return {};
  TESSERA_TRY(tensor, checkpoint.map(name, units));
  return {};
}

Result<LayerWeights> map_layer(const Checkpoint& checkpoint, std::uint32_t layer, const ShardSlices& slices) {
  constexpr MappedTensor ExpertWeights::*expert_members[] = {&ExpertWeights::gate, &ExpertWeights::up,
                                                             &ExpertWeights::down};
  static_assert(std::size(expert_members) == expert_tensor_count);
  const Manifest& manifest = checkpoint.manifest();
  LayerWeights weights;
  for (int i = 0; i < layer_tensor_count; ++i) {
    const auto tensor = static_cast<LayerTensor>(i);
    if (!has_tensor(manifest.shape.plan, layer, tensor)) continue;
    const SliceRange units = layer_units(manifest.shape, manifest.geometry, slices, tensor);
    TESSERA_CHECK(
        map_units(checkpoint, layer_tensor_name(layer, tensor), units, weights.tensors[static_cast<std::size_t>(i)]));
  }
  weights.experts.resize(experts_of(manifest.shape.plan, layer));
  for (std::uint32_t expert = 0; expert < weights.experts.size(); ++expert) {
    for (int i = 0; i < expert_tensor_count; ++i) {
      TESSERA_CHECK(map_units(checkpoint, expert_tensor_name(layer, expert, static_cast<ExpertTensor>(i)),
                              expert_units(slices), weights.experts[expert].*expert_members[i]));
    }
  }
  return weights;
}

Result<ShardWeights> map_wanted(const Checkpoint& checkpoint, const WantedUnits& wanted) {
  ShardWeights weights;
  TESSERA_CHECK(map_units(checkpoint, embedding_name, wanted.embedding, weights.embedding));
  TESSERA_CHECK(map_units(checkpoint, positions_name, wanted.positions, weights.positions));
  const bool has_norm_bias = checkpoint.manifest().shape.plan.norm == NormKind::layer;
  TESSERA_CHECK(map_units(checkpoint, embedding_norm_name, wanted.embedding_norm, weights.embedding_norm));
  if (has_norm_bias) {
    TESSERA_CHECK(map_units(checkpoint, embedding_norm_bias_name, wanted.embedding_norm, weights.embedding_norm_bias));
  }
  for (std::uint32_t layer = wanted.layers.begin; layer < wanted.layers.end; ++layer) {
    TESSERA_TRY(auto mapped, map_layer(checkpoint, layer, wanted.slices));
    weights.layers.push_back(std::move(mapped));
  }
  TESSERA_CHECK(map_units(checkpoint, final_norm_name, wanted.final_norm, weights.final_norm));
  if (has_norm_bias) {
    TESSERA_CHECK(map_units(checkpoint, final_norm_bias_name, wanted.final_norm, weights.final_norm_bias));
  }
  TESSERA_CHECK(map_units(checkpoint, head_name, wanted.head, weights.head));
  return weights;
}

}  // namespace

bool LayerWeights::failed() const { return any_failed(*this); }

std::size_t ShardWeights::bytes() const {
  std::size_t sum = 0;
  for_each_tensor(*this, [&](const MappedTensor& tensor) { sum += tensor.bytes(); });
  return sum;
}

bool ShardWeights::failed() const { return any_failed(*this); }

std::vector<TensorUnits> shard_units(const Manifest& manifest, const ShardAssignment& assignment) {
  const ModelShape& shape = manifest.shape;
  std::vector<TensorUnits> runs;
  const auto add = [&](std::string tensor, SliceRange units) {
    if (!units.empty()) runs.push_back({std::move(tensor), units});
  };
  add(embedding_name, embedding_units(shape, manifest.geometry, assignment));
  add(positions_name, position_units(shape, manifest.geometry, assignment));
  const bool has_norm_bias = shape.plan.norm == NormKind::layer;
  add(embedding_norm_name, embedding_norm_units(shape, assignment));
  if (has_norm_bias) add(embedding_norm_bias_name, embedding_norm_units(shape, assignment));
  for (std::uint32_t layer = assignment.layers.begin; layer < assignment.layers.end; ++layer) {
    for (int i = 0; i < layer_tensor_count; ++i) {
      const auto tensor = static_cast<LayerTensor>(i);
      if (!has_tensor(shape.plan, layer, tensor)) continue;
      add(layer_tensor_name(layer, tensor), layer_units(shape, manifest.geometry, assignment.slices(), tensor));
    }
    for (std::uint32_t expert = 0; expert < experts_of(shape.plan, layer); ++expert) {
      for (int i = 0; i < expert_tensor_count; ++i) {
        add(expert_tensor_name(layer, expert, static_cast<ExpertTensor>(i)), expert_units(assignment.slices()));
      }
    }
  }
  add(final_norm_name, final_norm_units(shape, assignment));
  if (has_norm_bias) add(final_norm_bias_name, final_norm_units(shape, assignment));
  add(head_name, head_units(shape, assignment));
  return runs;
}

Result<ShardWeights> map_shard_weights(const Checkpoint& checkpoint, const ShardAssignment& assignment) {
  const Manifest& manifest = checkpoint.manifest();
  const ModelShape& shape = manifest.shape;
  return map_wanted(checkpoint,
                    {assignment.layers, assignment.slices(), embedding_units(shape, manifest.geometry, assignment),
                     position_units(shape, manifest.geometry, assignment), embedding_norm_units(shape, assignment),
                     final_norm_units(shape, assignment), head_units(shape, assignment)});
}

Result<ShardWeights> map_shard_weights(const Checkpoint& checkpoint, const ShardSlices& slices) {
  const Manifest& manifest = checkpoint.manifest();
  const BlockPlan& plan = manifest.shape.plan;
  const bool learned = plan.positions == PositionKind::learned;
  return map_wanted(checkpoint, {{0, manifest.shape.layers},
                                 slices,
                                 {0, manifest.geometry.vocab_slices},
                                 {0, learned ? positions_layout(manifest.shape, manifest.geometry).units() : 0},
                                 {0, plan.embedding_norm ? 1u : 0u},
                                 {0, plan.sum_norms ? 0u : 1u},
                                 manifest.shape.tied_head || !plan.head ? SliceRange{} : slices.vocab});
}

}  // namespace tessera
