// Models as GGUF files, for tests.
#pragma once

#include <cstdint>
#include <string>

#include "tests/unit/importers/foreign_models.hpp"
#include "tests/unit/importers/gguf_bytes.hpp"

namespace tessera::test {

/// dim 64, 2 layers, 4 heads of 16 (2 KV), FFN 96, vocabulary 40: rows are multiples of 32. Weights that f16 and bf16
/// hold exactly.
ForeignModel blocky_model(bool tied_head = true, std::uint64_t seed = 1);

/// Matrices of `type`: 0 F32, 1 F16, 30 BF16, 8 Q8_0, 2 Q4_0 (quantised as a checkpoint is). Q and K rows interleaved.
GgufBytes gguf_of(const ForeignModel& model, std::uint32_t type = 0);
std::string gguf_tensor_name(const std::string& name);
/// The tensor of this (GGUF) name.
GgufBytes::Tensor& tensor_of(GgufBytes& file, const std::string& name);

/// A SentencePiece-like tokenizer: <unk>, <s>, </s>, bytes if there is room, then pieces.
void add_tokenizer(GgufBytes& file, std::uint32_t pieces);

}  // namespace tessera::test
