// The two moments at which a checkpoint is written through the HDF5 library; the tensors' bytes are written in between,
// without it. Internal to runtime/checkpoint.
//
// The library cannot give a file up: when the disk is full, even closing fails, and what it holds is lost. So it is
// only asked to lay the file out and to complete it, never to carry gigabytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/manifest.hpp"

namespace tessera {

/// Makes the file at `path` (emptied first) with space for every tensor and the attribute format_version, and closes
/// it. Returns the offset of each tensor. `where` names the file for errors.
Result<std::vector<std::uint64_t>> create_checkpoint_file(const std::string& path,
                                                          const std::vector<TensorEntry>& tensors,
                                                          const std::string& where);

/// Adds tokenizer (none when empty), manifest, content id and, last, the mark "complete".
Result<void> complete_checkpoint_file(const std::string& path, std::span<const std::byte> tokenizer,
                                      const std::string& manifest_json, const std::string& content_id,
                                      const std::string& where);

}  // namespace tessera
