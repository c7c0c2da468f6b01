// The part of a GGUF file before the tensors' data. GGUF version 3 (github.com/ggml-org/ggml, docs/gguf.md):
//
//   | "GGUF" | u32 3 | u64 tensors | u64 pairs | metadata: key, type, value … | tensors: name, dimensions, type, offset
//   … | data |
//
// All little-endian; offsets count from the start of the data, and data and tensors start at multiples of 32. A text is
// a u64 length and its bytes. Dimensions are listed fastest first: columns, then rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/importers/gguf_types.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/tensor_values.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

inline constexpr std::size_t gguf_alignment = 32;
inline constexpr std::uint32_t gguf_block_values = 32;

inline std::size_t gguf_aligned(std::size_t bytes) {
  return (bytes + gguf_alignment - 1) / gguf_alignment * gguf_alignment;
}

/// What a matrix of the dtype is in the file.
GgufTensorType gguf_type_of(DType dtype);

/// One tensor in the file: vectors are always f32.
struct GgufTensor {
  NamedMatrix matrix;
  DType dtype = DType::f32;
  std::uint64_t offset = 0;

  /// Columns are a multiple of gguf_block_values where the dtype has blocks.
  std::size_t row_bytes() const;
  std::size_t bytes() const { return row_bytes() * matrix.size.rows; }
};

/// The whole part, padded so that the data follows it. `options`: name and dtype.
std::string gguf_header(const ModelShape& shape, const ImportOptions& options, const TokenizerData& tokenizer,
                        const std::vector<GgufTensor>& tensors);

}  // namespace tessera
