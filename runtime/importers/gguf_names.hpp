// How GGUF files name the tensors of a model, and where in them our tensors lie. Names are the same in all
// architectures, but some files have matrices together that others have apart:
//
//   attn_q of layer 3         blk.3.attn_q.weight, or the first rows of blk.3.attn_qkv.weight
//   ffn_gate of layer 3       blk.3.ffn_gate.weight, or the first half of blk.3.ffn_up.weight (Phi-3)
//   ffn_up of expert 7        the eighth part of blk.3.ffn_up_exps.weight, or blk.3.ffn_up.7.weight (old files)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/importers/tensor_values.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

/// Where one of our tensors may lie.
struct GgufPart {
  std::string name;                       ///< "blk.3.attn_qkv.weight"
  std::vector<std::uint64_t> dimensions;  ///< that the tensor of this name must have, fastest first
  std::uint64_t first_row = 0;            ///< of ours in it; of a vector: its first element
};

/// All places where a tensor of model_tensors() may lie, the usual one first.
std::vector<GgufPart> gguf_parts_of(const ModelShape& shape, const NamedMatrix& matrix);

/// The usual name: "layers.3.attn_out" → "blk.3.attn_output.weight". `name` is one of model_tensors().
std::string gguf_name_of(const std::string& name);

/// Which canonical row (of a bias: element) lies at `row` of the tensor, in files of architectures that have the rows
/// of Q and K that turn together side by side ("llama"); in canonical order they are half a head apart. `name` as
/// above.
std::uint32_t canonical_row_of_gguf(const std::string& name, std::uint32_t row, std::uint32_t head_dim);

/// A tensor's name without its layer: "blk.3.attn_q.bias" → "attn_q.bias".
std::string_view gguf_kind_of(std::string_view name);

}  // namespace tessera
