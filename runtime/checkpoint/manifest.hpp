// Manifest: everything about a checkpoint except the bytes of its tensors.
//
// It is stored as one JSON text in the dataset /manifest. Its SHA-256 is the checkpoint's content id: since the
// manifest holds a CRC32C of every unit of every dataset, two files with the same content id hold the same model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/model_tensors.hpp"
#include "runtime/tensor/pooling.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

/// Raised when a reader of the old number could misread a new file. Readers refuse numbers that they do not know.
inline constexpr std::uint32_t checkpoint_format_version = 1;

struct TensorEntry {
  TensorSpec spec;
  std::uint32_t crc32c = 0;                ///< of the whole dataset (without alignment padding)
  std::vector<std::uint32_t> unit_crc32c;  ///< one per unit
};

struct Manifest {
  ModelShape shape;
  SliceGeometry geometry;
  DType dtype = DType::f32;                    ///< of the matrices
  std::optional<DType> head_dtype;             ///< of the head, where it has another one
  std::string name;                            ///< of the model, for people
  std::string source_format;                   ///< "llama2.c", "safetensors", "synthetic"
  std::vector<double> rope_frequencies;        ///< [rope_width / 2]
  std::vector<double> rope_local_frequencies;  ///< of windowed layers, where plan.local_rope; else empty
  std::vector<TensorEntry> tensors;            ///< in file order
  std::uint64_t tokenizer_bytes = 0;           ///< 0: no tokenizer inside
  std::uint32_t tokenizer_crc32c = 0;
  std::string chat_template;           ///< empty: none
  std::optional<PoolingPlan> pooling;  ///< where the model's makers say how texts become vectors

  WeightTypes types() const { return {dtype, head_dtype.value_or(dtype)}; }
  const TensorEntry* find(const std::string& tensor_name) const;
};

/// Deterministic JSON (sorted keys, shortest round-trip numbers).
std::string to_json(const Manifest& manifest);

/// Parses and validates: limits, consistency of shape, geometry and every layout with model_tensors(). `where` names
/// the file. Never throws; memory bounded by a small multiple of the text.
Result<Manifest> parse_manifest(const std::string& json, const std::string& where);

/// Lower-case hex SHA-256.
std::string content_id_of(const std::string& manifest_json);

}  // namespace tessera
