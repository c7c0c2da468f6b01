// DType: how the elements of a tensor are stored. Names are those of the CLI and of the checkpoint's manifest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tessera {

/// Storage type of weights. q8: int8 in blocks of 32 along K with one f16 scale (see kernels/abi/kernel_abi.h).
enum class DType : std::uint8_t { f32, q8 };

const char* to_string(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);

/// Storage type of the KV cache: f32 for f32 checkpoints, otherwise bf16.
enum class KvDType : std::uint8_t { f32, bf16 };

const char* to_string(KvDType dtype);
inline KvDType kv_dtype_for(DType weights) { return weights == DType::f32 ? KvDType::f32 : KvDType::bf16; }
inline std::size_t bytes_per_element(KvDType dtype) { return dtype == KvDType::f32 ? 4 : 2; }

}  // namespace tessera
