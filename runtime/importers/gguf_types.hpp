// The kinds of values and of tensors in a GGUF file (github.com/ggml-org/ggml, docs/gguf.md), with the numbers that
// stand for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace tessera {

/// Of a value of the metadata.
enum class GgufValueType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  text = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12
};

/// Bytes of one value; 0 for texts and arrays, whose length is stored. Empty: no such type.
std::optional<std::size_t> gguf_value_bytes(GgufValueType type);

/// Of a tensor. Only those that can be imported or written have a name here; gguf_tensor_format() knows all.
enum class GgufTensorType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  bf16 = 30
};

/// How the values of a tensor lie in the file: in blocks along the row.
struct GgufTensorFormat {
  const char* name = nullptr;      ///< "Q4_K"
  std::uint32_t block_values = 1;  ///< 1 where there are no blocks
  std::uint32_t block_bytes = 0;
};

/// Every type that llama.cpp writes, also those that cannot be imported. Null: no such type.
const GgufTensorFormat* gguf_tensor_format(GgufTensorType type);

}  // namespace tessera
