#include "runtime/model/shard_weights.hpp"

namespace tessera {

namespace {

/// Calls visit(tensor) for every mapped tensor.
template <typename Visit>
void for_each_tensor(const ShardWeights& weights, const Visit& visit) {
  visit(weights.embedding);
  for (const LayerWeights& layer : weights.layers) {
    for (const MappedTensor* tensor : {&layer.attn_norm, &layer.attn_q, &layer.attn_k, &layer.attn_v, &layer.attn_out,
                                       &layer.ffn_norm, &layer.ffn_gate, &layer.ffn_up, &layer.ffn_down}) {
      visit(*tensor);
    }
  }
  visit(weights.final_norm);
  visit(weights.head);
}

Result<LayerWeights> map_layer(const Checkpoint& checkpoint, std::uint32_t layer, const ShardSlices& slices,
                               SliceRange kv_heads) {
  struct Wanted {
    LayerTensor tensor;
    MappedTensor LayerWeights::*member;
    SliceRange units;
  };
  const SliceRange all{0, 1};
  const Wanted wanted[] = {
      {LayerTensor::attn_norm, &LayerWeights::attn_norm, all},
      {LayerTensor::attn_q, &LayerWeights::attn_q, slices.attention},
      {LayerTensor::attn_k, &LayerWeights::attn_k, kv_heads},
      {LayerTensor::attn_v, &LayerWeights::attn_v, kv_heads},
      {LayerTensor::attn_out, &LayerWeights::attn_out, slices.attention},
      {LayerTensor::ffn_norm, &LayerWeights::ffn_norm, all},
      {LayerTensor::ffn_gate, &LayerWeights::ffn_gate, slices.ffn},
      {LayerTensor::ffn_up, &LayerWeights::ffn_up, slices.ffn},
      {LayerTensor::ffn_down, &LayerWeights::ffn_down, slices.ffn},
  };
  LayerWeights weights;
  for (const Wanted& want : wanted) {
    if (want.units.empty()) continue;
    TESSERA_TRY(weights.*want.member, checkpoint.map(layer_tensor_name(layer, want.tensor), want.units));
  }
  return weights;
}

}  // namespace

std::size_t ShardWeights::bytes() const {
  std::size_t sum = 0;
  for_each_tensor(*this, [&](const MappedTensor& tensor) { sum += tensor.bytes(); });
  return sum;
}

bool ShardWeights::failed() const {
  bool any = false;
  for_each_tensor(*this, [&](const MappedTensor& tensor) { any = any || tensor.failed(); });
  return any;
}

Result<ShardWeights> map_shard_weights(const Checkpoint& checkpoint, const ShardSlices& slices) {
  const Manifest& manifest = checkpoint.manifest();
  const SliceRange kv_heads = slices.kv_heads(manifest.shape, manifest.geometry);
  ShardWeights weights;
  TESSERA_TRY(weights.embedding, checkpoint.map_all(embedding_name));
  for (std::uint32_t layer = 0; layer < manifest.shape.layers; ++layer) {
    TESSERA_TRY(auto mapped, map_layer(checkpoint, layer, slices, kv_heads));
    weights.layers.push_back(std::move(mapped));
  }
  TESSERA_TRY(weights.final_norm, checkpoint.map_all(final_norm_name));
  if (!manifest.shape.tied_head && !slices.vocab.empty()) {
    TESSERA_TRY(weights.head, checkpoint.map(head_name, slices.vocab));
  }
  return weights;
}

}  // namespace tessera
