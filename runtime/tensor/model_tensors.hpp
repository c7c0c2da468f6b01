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

/// A plain vector of f32 (norm weights, biases).
struct VectorLayout {
  std::uint32_t count = 0;
  std::uint32_t slice = 0;  ///< elements per unit, the last may have fewer; 0: one unit
  bool operator==(const VectorLayout&) const = default;
};

using TensorLayout = std::variant<PackedLayout, VectorLayout>;

/// Bytes of the dataset without padding.
std::size_t layout_bytes(const TensorLayout& layout);
/// Units of a matrix, or of a vector that is cut like one; 1 for other vectors.
std::uint32_t layout_units(const TensorLayout& layout);
/// Byte offset of a unit; `unit` may be layout_units(): the end.
std::size_t layout_unit_offset(const TensorLayout& layout, std::uint32_t unit);

struct TensorSpec {
  std::string name;
  TensorLayout layout;
};

/// What a layer can have, in file order; has_tensor() says what it has.
enum class LayerTensor : std::uint8_t {
  attn_norm,
  attn_q,
  attn_k,
  attn_v,
  attn_out,
  ffn_norm,
  ffn_gate,
  ffn_up,
  ffn_down,
  attn_norm_bias,
  attn_q_bias,
  attn_k_bias,
  attn_v_bias,
  attn_q_norm,
  attn_k_norm,
  attn_out_bias,
  attn_post_norm,
  ffn_norm_bias,
  ffn_gate_bias,
  ffn_up_bias,
  ffn_down_bias,
  ffn_post_norm,
  router  ///< [experts][dim], always f32
};
inline constexpr int layer_tensor_count = 23;

/// Matrices of one expert, in file order.
enum class ExpertTensor : std::uint8_t { gate, up, down };
inline constexpr int expert_tensor_count = 3;

bool has_tensor(const BlockPlan& plan, std::uint32_t layer, LayerTensor tensor);
/// Feed-forward networks between which a router chooses there; 0: it has one, as layer tensors.
std::uint32_t experts_of(const BlockPlan& plan, std::uint32_t layer);

/// "layers.3.attn_q"
std::string layer_tensor_name(std::uint32_t layer, LayerTensor tensor);
/// "layers.3.experts.7.ffn_up"
std::string expert_tensor_name(std::uint32_t layer, std::uint32_t expert, ExpertTensor tensor);
inline constexpr const char* embedding_name = "embedding";
inline constexpr const char* positions_name = "positions";
inline constexpr const char* embedding_norm_name = "embedding_norm";
inline constexpr const char* embedding_norm_bias_name = "embedding_norm_bias";
inline constexpr const char* final_norm_name = "final_norm";
inline constexpr const char* final_norm_bias_name = "final_norm_bias";
inline constexpr const char* head_name = "head";

/// The feed-forward matrices of a model with experts are those of its dense layers here.
TensorLayout layer_tensor_layout(const ModelShape& shape, const SliceGeometry& geometry, DType dtype,
                                 LayerTensor tensor);
TensorLayout expert_tensor_layout(const ModelShape& shape, DType dtype, ExpertTensor tensor);
/// Learned positions: a row per position, always f32.
PackedLayout positions_layout(const ModelShape& shape, const SliceGeometry& geometry);
/// Of embedding and head, which differ in nothing but their dtype.
PackedLayout vocabulary_layout(const ModelShape& shape, const SliceGeometry& geometry, DType dtype);

/// Every tensor of the model in file order: embedding, positions, embedding_norm, layers (each with its experts),
/// final_norm, head (absent when tied).
std::vector<TensorSpec> model_tensors(const ModelShape& shape, const SliceGeometry& geometry, const WeightTypes& types);
/// The matrix that gives the logits: its head, or its embedding; empty: the model has no head.
std::string head_matrix(const ModelShape& shape);
/// An embedding has the head's dtype where it is the head.
DType embedding_dtype(const ModelShape& shape, const WeightTypes& types);

/// What a checkpoint stores of RoPE.
struct RopeTables {
  std::vector<double> frequencies;        ///< [rope_width / 2]
  std::vector<double> local_frequencies;  ///< of windowed layers, where plan.local_rope; else empty
};

/// RoPE frequencies of the plain (unscaled) kind: theta^(-2i / width), i < width / 2, of the rotated elements of a
/// head, by exact::pow.
std::vector<double> rope_frequencies(const ModelShape& shape);
std::vector<double> rope_frequencies(double theta, std::uint32_t width);

}  // namespace tessera
