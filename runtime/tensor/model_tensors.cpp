#include "runtime/tensor/model_tensors.hpp"

#include "runtime/base/ensure.hpp"
#include "runtime/base/exact_math.hpp"

namespace tessera {

namespace {

constexpr const char* layer_tensor_names[layer_tensor_count] = {
    "attn_norm", "attn_q", "attn_k", "attn_v", "attn_out", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"};

}  // namespace

std::size_t layout_bytes(const TensorLayout& layout) { return layout_unit_offset(layout, layout_units(layout)); }

std::uint32_t layout_units(const TensorLayout& layout) {
  const auto* packed = std::get_if<PackedLayout>(&layout);
  return packed ? packed->units() : 1;
}

std::size_t layout_unit_offset(const TensorLayout& layout, std::uint32_t unit) {
  if (const auto* packed = std::get_if<PackedLayout>(&layout)) return packed->unit_offset(unit);
  return unit * sizeof(float) * std::get<VectorLayout>(layout).count;
}

std::string layer_tensor_name(std::uint32_t layer, LayerTensor tensor) {
  return "layers." + std::to_string(layer) + "." + layer_tensor_names[static_cast<int>(tensor)];
}

TensorLayout layer_tensor_layout(const ModelShape& shape, const SliceGeometry& geometry, DType dtype,
                                 LayerTensor tensor) {
  const std::uint32_t attention_width = geometry.attention_heads * shape.head_dim;
  const std::uint32_t kv_rows = shape.kv_heads * shape.head_dim;
  switch (tensor) {
    case LayerTensor::attn_norm:
    case LayerTensor::ffn_norm:
      return VectorLayout{shape.dim};
    case LayerTensor::attn_q:
      return PackedLayout{dtype, SplitAxis::rows, shape.attention_width(), shape.dim, attention_width};
    case LayerTensor::attn_k:
    case LayerTensor::attn_v:
      return PackedLayout{dtype, SplitAxis::rows, kv_rows, shape.dim, shape.head_dim};
    case LayerTensor::attn_out:
      return PackedLayout{dtype, SplitAxis::columns, shape.dim, shape.attention_width(), attention_width};
    case LayerTensor::ffn_gate:
    case LayerTensor::ffn_up:
      return PackedLayout{dtype, SplitAxis::rows, shape.ffn_dim, shape.dim, geometry.ffn_columns};
    case LayerTensor::ffn_down:
      return PackedLayout{dtype, SplitAxis::columns, shape.dim, shape.ffn_dim, geometry.ffn_columns};
  }
  TESSERA_ENSURE(false);
}

PackedLayout vocabulary_layout(const ModelShape& shape, const SliceGeometry& geometry, DType dtype) {
  return PackedLayout{dtype, SplitAxis::rows, shape.vocab_size, shape.dim, geometry.vocab_rows};
}

std::vector<TensorSpec> model_tensors(const ModelShape& shape, const SliceGeometry& geometry, DType dtype) {
  std::vector<TensorSpec> tensors;
  tensors.push_back({embedding_name, vocabulary_layout(shape, geometry, dtype)});
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    for (int i = 0; i < layer_tensor_count; ++i) {
      const auto tensor = static_cast<LayerTensor>(i);
      tensors.push_back({layer_tensor_name(layer, tensor), layer_tensor_layout(shape, geometry, dtype, tensor)});
    }
  }
  tensors.push_back({final_norm_name, VectorLayout{shape.dim}});
  if (!shape.tied_head) tensors.push_back({head_name, vocabulary_layout(shape, geometry, dtype)});
  return tensors;
}

std::vector<double> rope_frequencies(const ModelShape& shape) {
  std::vector<double> frequencies(shape.head_dim / 2);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = exact::pow(shape.rope_theta, -2.0 * static_cast<double>(i) / shape.head_dim);
  }
  return frequencies;
}

}  // namespace tessera
