// The metadata of a GGUF file as a model: shape, special ids, chat template.
#pragma once

#include <string>

#include "runtime/base/result.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera {

struct GgufConfig {
  ModelShape shape;
  ModelIds ids;
  std::string chat_template;  ///< empty: none
};

/// What the tensors, and not the metadata, say of a model.
struct GgufFacts {
  std::uint32_t embedding_rows = 0;  ///< the vocabulary, with its padding
  bool has_head = false;             ///< output.weight; without it the head is tied
};

/// The architecture "llama". Errors: corrupt, or unsupported for whatever would change the mathematics (scaled RoPE,
/// experts, partial rotation, …), by its key.
Result<GgufConfig> read_gguf_config(const GgufFile& file, const GgufFacts& facts);

/// What is known of a tensor that no computation here reads: unsupported, with the reason.
Error unknown_gguf_tensor(const std::string& where, const std::string& tensor);

}  // namespace tessera
