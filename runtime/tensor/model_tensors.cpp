#include "runtime/tensor/model_tensors.hpp"

#include <algorithm>

#include "runtime/base/ensure.hpp"
#include "runtime/base/exact_math.hpp"

namespace tessera {

namespace {

constexpr const char* layer_tensor_names[layer_tensor_count] = {
    "attn_norm",     "attn_q",      "attn_k",        "attn_v",         "attn_out",       "ffn_norm",
    "ffn_gate",      "ffn_up",      "ffn_down",      "attn_norm_bias", "attn_q_bias",    "attn_k_bias",
    "attn_v_bias",   "attn_q_norm", "attn_k_norm",   "attn_out_bias",  "attn_post_norm", "ffn_norm_bias",
    "ffn_gate_bias", "ffn_up_bias", "ffn_down_bias", "ffn_post_norm",  "router"};
constexpr LayerTensor of_expert[expert_tensor_count] = {LayerTensor::ffn_gate, LayerTensor::ffn_up,
                                                        LayerTensor::ffn_down};

PackedLayout ffn_layout(const ModelShape& shape, DType dtype, bool is_down, std::uint32_t ffn_dim) {
  const std::uint32_t columns = FfnSlices::of(ffn_dim).columns;
  if (is_down) return PackedLayout{dtype, SplitAxis::columns, shape.dim, ffn_dim, columns};
  return PackedLayout{dtype, SplitAxis::rows, ffn_dim, shape.dim, columns};
}

}  // namespace

std::size_t layout_bytes(const TensorLayout& layout) { return layout_unit_offset(layout, layout_units(layout)); }

std::uint32_t layout_units(const TensorLayout& layout) {
  if (const auto* packed = std::get_if<PackedLayout>(&layout)) return packed->units();
  const auto& vector = std::get<VectorLayout>(layout);
  return vector.slice == 0 ? 1 : (vector.count + vector.slice - 1) / vector.slice;
}

std::size_t layout_unit_offset(const TensorLayout& layout, std::uint32_t unit) {
  if (const auto* packed = std::get_if<PackedLayout>(&layout)) return packed->unit_offset(unit);
  const auto& vector = std::get<VectorLayout>(layout);
  const std::uint64_t elements = std::uint64_t{unit} * (vector.slice == 0 ? vector.count : vector.slice);
  return sizeof(float) * std::min<std::uint64_t>(elements, vector.count);
}

std::uint32_t experts_of(const BlockPlan& plan, std::uint32_t layer) {
  return plan.has_experts(layer) ? plan.experts : 0;
}

bool has_tensor(const BlockPlan& plan, std::uint32_t layer, LayerTensor tensor) {
  const bool layer_norm = plan.norm == NormKind::layer, dense = !plan.has_experts(layer);
  switch (tensor) {
    case LayerTensor::attn_norm:
    case LayerTensor::attn_q:
    case LayerTensor::attn_k:
    case LayerTensor::attn_v:
    case LayerTensor::attn_out:
    case LayerTensor::ffn_norm:
      return true;
    case LayerTensor::ffn_gate:
      return dense && plan.gated_ffn;
    case LayerTensor::ffn_up:
    case LayerTensor::ffn_down:
      return dense;
    case LayerTensor::attn_norm_bias:
    case LayerTensor::ffn_norm_bias:
      return layer_norm;
    case LayerTensor::attn_q_bias:
    case LayerTensor::attn_k_bias:
    case LayerTensor::attn_v_bias:
      return plan.attn_in_bias;
    case LayerTensor::attn_q_norm:
    case LayerTensor::attn_k_norm:
      return plan.qk_norm;
    case LayerTensor::attn_out_bias:
      return plan.attn_out_bias;
    case LayerTensor::attn_post_norm:
    case LayerTensor::ffn_post_norm:
      return plan.post_norms;
    case LayerTensor::ffn_gate_bias:
      return plan.ffn_bias && plan.gated_ffn;
    case LayerTensor::ffn_up_bias:
    case LayerTensor::ffn_down_bias:
      return plan.ffn_bias;
    case LayerTensor::router:
      return !dense;
  }
  TESSERA_ENSURE(false);
}

std::string expert_tensor_name(std::uint32_t layer, std::uint32_t expert, ExpertTensor tensor) {
  const LayerTensor as_layer = of_expert[static_cast<int>(tensor)];
  return "layers." + std::to_string(layer) + ".experts." + std::to_string(expert) + "." +
         layer_tensor_names[static_cast<int>(as_layer)];
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
    case LayerTensor::attn_norm_bias:
    case LayerTensor::ffn_norm_bias:
    case LayerTensor::attn_out_bias:
    case LayerTensor::ffn_down_bias:
    case LayerTensor::attn_post_norm:
    case LayerTensor::ffn_post_norm:
      return VectorLayout{shape.dim};
    case LayerTensor::attn_q_norm:
    case LayerTensor::attn_k_norm:
      return VectorLayout{shape.head_dim};
    case LayerTensor::attn_q_bias:
      return VectorLayout{shape.attention_width(), attention_width};
    case LayerTensor::attn_k_bias:
    case LayerTensor::attn_v_bias:
      return VectorLayout{kv_rows, shape.head_dim};
    case LayerTensor::ffn_gate_bias:
    case LayerTensor::ffn_up_bias:
      return VectorLayout{shape.ffn_dim, geometry.ffn_columns};
    case LayerTensor::router:
      return PackedLayout{DType::f32, SplitAxis::rows, shape.plan.experts, shape.dim, shape.plan.experts};
    case LayerTensor::attn_q:
      return PackedLayout{dtype, SplitAxis::rows, shape.attention_width(), shape.dim, attention_width};
    case LayerTensor::attn_k:
    case LayerTensor::attn_v:
      return PackedLayout{dtype, SplitAxis::rows, kv_rows, shape.dim, shape.head_dim};
    case LayerTensor::attn_out:
      return PackedLayout{dtype, SplitAxis::columns, shape.dim, shape.attention_width(), attention_width};
    case LayerTensor::ffn_gate:
    case LayerTensor::ffn_up:
    case LayerTensor::ffn_down:
      return ffn_layout(shape, dtype, tensor == LayerTensor::ffn_down,
                        shape.plan.experts != 0 ? shape.plan.dense_ffn_dim : shape.ffn_dim);
  }
  TESSERA_ENSURE(false);
}

TensorLayout expert_tensor_layout(const ModelShape& shape, DType dtype, ExpertTensor tensor) {
  return ffn_layout(shape, dtype, tensor == ExpertTensor::down, shape.ffn_dim);
}

PackedLayout positions_layout(const ModelShape& shape, const SliceGeometry& geometry) {
  return PackedLayout{DType::f32, SplitAxis::rows, shape.context_length, shape.dim, geometry.vocab_rows};
}

PackedLayout vocabulary_layout(const ModelShape& shape, const SliceGeometry& geometry, DType dtype) {
  return PackedLayout{dtype, SplitAxis::rows, shape.vocab_size, shape.dim, geometry.vocab_rows};
}

std::string head_matrix(const ModelShape& shape) {
  if (!shape.plan.head) return {};
  return shape.tied_head ? embedding_name : head_name;
}

DType embedding_dtype(const ModelShape& shape, const WeightTypes& types) {
  return head_matrix(shape) == embedding_name ? types.head : types.layers;
}

std::vector<TensorSpec> model_tensors(const ModelShape& shape, const SliceGeometry& geometry,
                                      const WeightTypes& types) {
  const DType dtype = types.layers;
  std::vector<TensorSpec> tensors;
  tensors.push_back({embedding_name, vocabulary_layout(shape, geometry, embedding_dtype(shape, types))});
  if (shape.plan.positions == PositionKind::learned) {
    tensors.push_back({positions_name, positions_layout(shape, geometry)});
  }
  const bool has_norm_bias = shape.plan.norm == NormKind::layer;
  if (shape.plan.embedding_norm) {
    tensors.push_back({embedding_norm_name, VectorLayout{shape.dim}});
    if (has_norm_bias) tensors.push_back({embedding_norm_bias_name, VectorLayout{shape.dim}});
  }
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    for (int i = 0; i < layer_tensor_count; ++i) {
      const auto tensor = static_cast<LayerTensor>(i);
      if (!has_tensor(shape.plan, layer, tensor)) continue;
      tensors.push_back({layer_tensor_name(layer, tensor), layer_tensor_layout(shape, geometry, dtype, tensor)});
    }
    for (std::uint32_t expert = 0; expert < experts_of(shape.plan, layer); ++expert) {
      for (int i = 0; i < expert_tensor_count; ++i) {
        const auto tensor = static_cast<ExpertTensor>(i);
        tensors.push_back({expert_tensor_name(layer, expert, tensor), expert_tensor_layout(shape, dtype, tensor)});
      }
    }
  }
  if (!shape.plan.sum_norms) {
    tensors.push_back({final_norm_name, VectorLayout{shape.dim}});
    if (has_norm_bias) tensors.push_back({final_norm_bias_name, VectorLayout{shape.dim}});
  }
  if (head_matrix(shape) == head_name) {
    tensors.push_back({head_name, vocabulary_layout(shape, geometry, types.head)});
  }
  return tensors;
}

std::vector<double> rope_frequencies(double theta, std::uint32_t width) {
  std::vector<double> frequencies(width / 2);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = exact::pow(theta, -2.0 * static_cast<double>(i) / width);
  }
  return frequencies;
}

std::vector<double> rope_frequencies(const ModelShape& shape) {
  return rope_frequencies(shape.rope_theta, shape.rope_width());
}

}  // namespace tessera
