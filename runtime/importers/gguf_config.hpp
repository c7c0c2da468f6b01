// The metadata of a GGUF file as a model: shape, RoPE, special ids, chat template.
#pragma once

#include <string>

#include "runtime/base/result.hpp"
#include "runtime/importers/gguf_family.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera {

struct GgufConfig {
  const GgufFamily* family = nullptr;  ///< of gguf_families()
  ModelShape shape;
  RopeTables rope;
  ModelIds ids;
  std::string chat_template;  ///< empty: none
};

/// Any architecture of gguf_families(). Errors: corrupt, or unsupported for an architecture that is not in the list and
/// for whatever would change the mathematics, by its key.
Result<GgufConfig> read_gguf_config(const GgufFile& file, const GgufFacts& facts);

/// What is known of a tensor that no computation here reads: unsupported, with the reason.
Error unknown_gguf_tensor(const std::string& where, const std::string& tensor, const GgufFamily& family);

}  // namespace tessera
