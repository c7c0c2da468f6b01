// CheckpointSkeleton: the HDF5 structure of a checkpoint that is being written. Internal to runtime/checkpoint.
//
// Made in two steps, because sizes and checksums of tokenizer and manifest are known last. It says where every dataset
// lies; their bytes are written by the caller, straight into the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/hdf5_image.hpp"
#include "runtime/checkpoint/manifest.hpp"
#include "runtime/checkpoint/partial_file.hpp"

namespace tessera {

/// One thread.
class CheckpointSkeleton {
 public:
  /// Space for every tensor, and the attribute format_version. `where` names the file for errors. Returns the offset of
  /// each tensor.
  Result<std::vector<std::uint64_t>> lay_out(const std::vector<TensorEntry>& tensors, const std::string& where);

  struct LastDatasets {
    std::optional<std::uint64_t> tokenizer;  ///< offset; nothing when it has no bytes
    std::uint64_t manifest = 0;
  };
  /// Space for tokenizer and manifest, the content id, and the mark "complete".
  Result<LastDatasets> complete(std::uint64_t tokenizer_bytes, std::uint64_t manifest_bytes,
                                const std::string& content_id, const std::string& where);

  /// The structure: what the file holds besides the datasets.
  const Hdf5Image& image() const { return image_; }
  /// Writes it, from the end to the start, so that the superblock and the root with its marks come last.
  Result<void> write_to(const PartialFile& file) const;

 private:
  Hdf5Image image_;
};

}  // namespace tessera
