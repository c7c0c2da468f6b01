// DType: how the elements of a tensor are stored. Names are those of the CLI and of the checkpoint's manifest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// Storage type of weights. q8 and q4: int8 or int4 in blocks of 32 along K with one f16 scale (see
/// kernels/abi/kernel_abi.h).
enum class DType : std::uint8_t { f32, bf16, q8, q4 };

inline constexpr DType all_dtypes[] = {DType::f32, DType::bf16, DType::q8, DType::q4};

const char* to_string(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);
/// "f32, bf16, q8, q4": for help and messages.
std::string dtype_names();

/// How a checkpoint stores its matrices: those of its layers (and an embedding that is not the head too), and the head,
/// or the embedding where it is the head (docs/decisions/0024).
struct WeightTypes {
  DType layers = DType::f32;
  DType head = DType::f32;

  WeightTypes(DType all) : layers(all), head(all) {}  // NOLINT(google-explicit-constructor): most have one
  WeightTypes(DType of_layers, DType of_head) : layers(of_layers), head(of_head) {}
  bool operator==(const WeightTypes&) const = default;

  /// All have one type, or a head in q8 is above layers in q4: both multiply activations of the same form.
  bool supported() const { return head == layers || (layers == DType::q4 && head == DType::q8); }
};

/// "q8", or "q4, head q8".
std::string to_string(const WeightTypes& types);

/// Storage type of the KV cache: f32 for f32 checkpoints, otherwise bf16.
enum class KvDType : std::uint8_t { f32, bf16 };

const char* to_string(KvDType dtype);
KvDType kv_dtype_for(DType weights);
inline std::size_t bytes_per_element(KvDType dtype) { return dtype == KvDType::f32 ? 4 : 2; }

}  // namespace tessera
