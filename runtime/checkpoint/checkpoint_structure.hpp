// CheckpointStructure: what an HDF5 file says about itself as a checkpoint, before its manifest is looked at. Internal
// to runtime/checkpoint; the layout is described in checkpoint_layout.hpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint_source.hpp"

namespace tessera {

/// Bytes [offset, offset + extent) of the file, checked to be aligned and to lie inside it.
struct DatasetPlace {
  std::uint64_t offset = 0;
  std::uint64_t extent = 0;
};

struct CheckpointStructure {
  std::string content_id;  ///< as the file claims it: 64 lower-case hexadecimal digits
  DatasetPlace manifest;
  std::optional<DatasetPlace> tokenizer;
  std::map<std::string, DatasetPlace> tensors;
};

/// Refuses what is not HDF5, what is no checkpoint, unknown format versions, files that were never completed, and every
/// construct that the writer does not use: other types and layouts, other links than hard ones, unknown attributes and
/// objects. No byte of a dataset is read.
Result<CheckpointStructure> read_structure(const CheckpointSource& source);

}  // namespace tessera
