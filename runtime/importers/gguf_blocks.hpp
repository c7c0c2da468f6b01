// What the blocks of a GGUF tensor hold: as f32, and for some types as blocks of a checkpoint, without loss.
//
// Layouts as ggml defines them (github.com/ggml-org/ggml, src/ggml-common.h). In a row, values follow each other from
// block to block. The types with a K have blocks of 256 with scales of their own for runs of 16 or 32 values.
#pragma once

#include <cstddef>
#include <string>

#include "runtime/importers/gguf_types.hpp"
#include "runtime/tensor/dtype.hpp"

namespace tessera {

/// Turns `count` blocks into count * block_values floats. Deterministic; scales that are no numbers give values that
/// are none. Any thread.
using GgufDequantise = void (*)(const std::byte* blocks, std::size_t count, float* out);

/// Null: a type that cannot be imported.
GgufDequantise gguf_dequantiser(GgufTensorType type);

/// Turns `count` blocks of 32 into as many of Q8Block or Q4Block (runtime/tensor/quantise.hpp), of the same values.
using GgufTakeOver = void (*)(const std::byte* blocks, std::size_t count, std::byte* out);

/// Null: the dtype cannot hold the values of this type exactly, block for block. Q8_0, Q5_0, IQ4_NL and Q4_0 in q8;
/// Q4_0 in q4.
GgufTakeOver gguf_block_taker(GgufTensorType type, DType dtype);

/// The dtype of a checkpoint that is nearest to the type, which can be imported: f32 for F32 and F16 (only f32 holds
/// f16 exactly), bf16 for BF16, q8 from five bits on, q4 below.
DType nearest_dtype(GgufTensorType type);

/// "F32, F16, BF16, …": the types that can be imported, for messages and documents.
std::string gguf_importable_types();

}  // namespace tessera
