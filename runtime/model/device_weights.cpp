#include "runtime/model/device_weights.hpp"

#include <utility>

#include "runtime/model/shard_weights.hpp"

namespace tessera {

namespace {

/// Of a matrix or a vector; nothing where the model has none.
template <typename T>
Result<DeviceMemory<T>> copied(DeviceQueue& queue, const MappedTensor& tensor, const Checkpoint& checkpoint) {
  if (tensor.bytes() == 0) return DeviceMemory<T>();
  TESSERA_TRY(DeviceMemory<T> memory, queue.allocate<T>(tensor.bytes() / sizeof(T)));
  const auto* const first = reinterpret_cast<const T*>(tensor.unit(tensor.units().begin));
  TESSERA_CHECK(queue.write<T>(memory, {first, memory.size()}));
  if (tensor.failed()) {
    return Error{ErrorCode::io, checkpoint.source().uri() + ": a page of the weights could not be read"};
  }
  return memory;
}

Result<DeviceMatrix> matrix(DeviceQueue& queue, const MappedTensor& tensor, const Checkpoint& checkpoint) {
  DeviceMatrix matrix;
  if (tensor.bytes() == 0) return matrix;
  TESSERA_TRY(matrix.bytes, copied<std::byte>(queue, tensor, checkpoint));
  matrix.layout = tensor.packed();
  return matrix;
}

}  // namespace

tessera_weight_format device_format(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return TESSERA_WEIGHTS_F32;
    case DType::bf16:
      return TESSERA_WEIGHTS_BF16;
    case DType::q8:
      return TESSERA_WEIGHTS_Q8;
    case DType::q4:
      return TESSERA_WEIGHTS_Q4;
  }
  return TESSERA_WEIGHTS_F32;
}

std::uint32_t DeviceMatrix::tiles() const {
  return static_cast<std::uint32_t>(layout.unit_offset(layout.units()) / layout.tile_bytes());
}

Result<DeviceWeights> load_device_weights(DeviceQueue& queue, const Checkpoint& checkpoint) {
  const SliceGeometry& geometry = checkpoint.manifest().geometry;
  TESSERA_TRY(const ShardWeights mapped, map_shard_weights(checkpoint, ShardSlices{{0, geometry.attention_slices},
                                                                                   {0, geometry.ffn_slices},
                                                                                   {0, geometry.vocab_slices}}));
  DeviceWeights weights;
  TESSERA_TRY(weights.embedding, matrix(queue, mapped.embedding, checkpoint));
  TESSERA_TRY(weights.head, matrix(queue, mapped.head, checkpoint));
  TESSERA_TRY(weights.final_norm, copied<float>(queue, mapped.final_norm, checkpoint));
  for (const LayerWeights& layer : mapped.layers) {
    DeviceLayer& own = weights.layers.emplace_back();
    TESSERA_TRY(own.attn_norm, copied<float>(queue, layer[LayerTensor::attn_norm], checkpoint));
    TESSERA_TRY(own.ffn_norm, copied<float>(queue, layer[LayerTensor::ffn_norm], checkpoint));
    TESSERA_TRY(own.q, matrix(queue, layer[LayerTensor::attn_q], checkpoint));
    TESSERA_TRY(own.k, matrix(queue, layer[LayerTensor::attn_k], checkpoint));
    TESSERA_TRY(own.v, matrix(queue, layer[LayerTensor::attn_v], checkpoint));
    TESSERA_TRY(own.out, matrix(queue, layer[LayerTensor::attn_out], checkpoint));
    TESSERA_TRY(own.gate, matrix(queue, layer[LayerTensor::ffn_gate], checkpoint));
    TESSERA_TRY(own.up, matrix(queue, layer[LayerTensor::ffn_up], checkpoint));
    TESSERA_TRY(own.down, matrix(queue, layer[LayerTensor::ffn_down], checkpoint));
  }
  return weights;
}

}  // namespace tessera
