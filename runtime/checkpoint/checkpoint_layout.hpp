// Where everything lies in a checkpoint file. Internal to runtime/checkpoint.
//
//   /                      attributes: format_version (u32), content_id (64 characters), complete (u8, written last)
//   /weights/<tensor>      u8 [extent]: one tensor in packed slice order
//   /tokenizer             u8 [extent]: only when there is one
//   /manifest              u8 [extent]: JSON, then zeros
// Every dataset is contiguous, starts at a multiple of 4096, and its extent is the next multiple of 64 from its bytes,
// at least 4096 (smaller ones would not be aligned). All links, attributes and types are of the simplest kind (compact,
// hard, fixed-length).
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera {

inline constexpr std::uint64_t dataset_alignment = 4096;
inline constexpr const char* weights_group_name = "weights";
inline constexpr const char* tokenizer_dataset_name = "tokenizer";
inline constexpr const char* manifest_dataset_name = "manifest";
inline constexpr const char* version_attribute_name = "format_version";
inline constexpr const char* content_id_attribute_name = "content_id";
inline constexpr const char* complete_attribute_name = "complete";
inline constexpr std::size_t content_id_characters = 64;

/// Extent of the dataset that holds `bytes` bytes.
inline std::uint64_t padded_extent(std::uint64_t bytes) {
  return bytes <= dataset_alignment ? dataset_alignment : (bytes + 63) / 64 * 64;
}

}  // namespace tessera
