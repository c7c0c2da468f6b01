// The tensors of a model: names, order in the file, and layout. The one list that importers, checkpoints and the model
// agree on.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/packed_layout.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

/// A plain vector of f32 (norm weights).
struct VectorLayout {
  std::uint32_t count = 0;
  bool operator==(const VectorLayout&) const = default;
};

using TensorLayout = std::variant<PackedLayout, VectorLayout>;

/// Bytes of the dataset without padding.
std::size_t layout_bytes(const TensorLayout& layout);
/// Units of a matrix; 1 for a vector.
std::uint32_t layout_units(const TensorLayout& layout);
/// Byte offset of a unit; `unit` may be layout_units(): the end.
std::size_t layout_unit_offset(const TensorLayout& layout, std::uint32_t unit);

struct TensorSpec {
  std::string name;
  TensorLayout layout;
};

/// Matrices of one layer, in file order.
enum class LayerTensor : std::uint8_t {
  attn_norm,
  attn_q,
  attn_k,
  attn_v,
  attn_out,
  ffn_norm,
  ffn_gate,
  ffn_up,
  ffn_down
};
inline constexpr int layer_tensor_count = 9;

/// "layers.3.attn_q"
std::string layer_tensor_name(std::uint32_t layer, LayerTensor tensor);
inline constexpr const char* embedding_name = "embedding";
inline constexpr const char* final_norm_name = "final_norm";
inline constexpr const char* head_name = "head";

TensorLayout layer_tensor_layout(const ModelShape& shape, const SliceGeometry& geometry, DType dtype,
                                 LayerTensor tensor);
/// Embedding and head have the same layout.
PackedLayout vocabulary_layout(const ModelShape& shape, const SliceGeometry& geometry, DType dtype);

/// Every tensor of the model in file order: embedding, layers, final_norm, head (absent when tied).
std::vector<TensorSpec> model_tensors(const ModelShape& shape, const SliceGeometry& geometry, DType dtype);

/// RoPE frequencies of the plain (unscaled) kind: theta^(-2i / head_dim), i < head_dim / 2, by exact::pow.
std::vector<double> rope_frequencies(const ModelShape& shape);

}  // namespace tessera
