// How GGUF files name the tensors of a model, and in which order their rows lie.
#pragma once

#include <cstdint>
#include <string>

namespace tessera {

/// "layers.3.attn_out" → "blk.3.attn_output.weight". `name` is one of model_tensors().
std::string gguf_name_of(const std::string& name);

/// Which canonical row lies at `row` of the tensor: files of the architecture "llama" have the rows of Q and K that
/// turn together side by side, in canonical order they are half a head apart. `name` as above.
std::uint32_t canonical_row_of_gguf(const std::string& name, std::uint32_t row, std::uint32_t head_dim);

}  // namespace tessera
