// Names and limits of the manifest's JSON, shared by its writer and its parser. Internal to runtime/checkpoint.
//
//   {"chat_template": "", "dtype": "q8", "format_version": 1, "geometry": {…}, "name": "…", "rope_frequencies": […],
//   "shape": {…},
//    "source_format": "…", "tensors": [{"name": "embedding", "layout": {…}, "bytes": 1024, "crc32c": "e3069283",
//    "unit_crc32c": "e3069283…"}, …], "tokenizer": {"bytes": 0, "crc32c": "00000000"}}
//
// A model whose blocks are not the plain ones has "plan" in its shape and, for windowed layers that rotate otherwise,
// "rope_local_frequencies"; one that is made for vectors may have "pooling": {"kind": "mean", "normalised": true,
// "tokens_max": 0}; one whose head is stored otherwise than its other matrices has "head_dtype". Checksums are eight
// hexadecimal digits; those of the units of a tensor follow each other in one string, so that a parsed manifest is
// never much larger than its text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/manifest.hpp"

namespace tessera {

inline constexpr std::size_t manifest_name_bytes_max = 1024;
inline constexpr std::size_t manifest_chat_template_bytes_max = 1u << 20;

nlohmann::json layout_to_json(const TensorLayout& layout);
/// Without the fields that have their default; an empty object for the plain plan.
nlohmann::json plan_to_json(const BlockPlan& plan);
/// Errors: corrupt, or unsupported for a field of a newer build.
Result<BlockPlan> parse_plan(const nlohmann::json& fields, const std::string& where);
nlohmann::json geometry_to_json(const SliceGeometry& geometry);

/// Eight lower-case digits.
std::string hex_of(std::uint32_t checksum);

/// Checks everything that a header can get wrong before a tensor is written, and that a parsed manifest must satisfy:
/// shape, geometry, RoPE frequencies, texts.
Result<void> validate_header(const Manifest& manifest, const std::string& where);

}  // namespace tessera
