// StateFile: arrays of floats and a text about them in one HDF5 file, laid out like a checkpoint
// (checkpoint_layout.hpp) and as safe: it appears under its name only when it is complete, and every byte is covered by
// a checksum.
//
//   /weights/<array>   f32, little-endian
//   /manifest          {"arrays": [{"count": …, "crc32c": …, "name": …}], "kind": "training state",
//                       "description": {…}}
//
// What a training needs to go on. A checkpoint's reader refuses it by its kind, and this one refuses checkpoints.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint_source.hpp"

namespace tessera {

inline constexpr const char* state_kind = "training state";

struct StateArray {
  std::string name;
  std::span<const float> values;  ///< at least one, fewer than 2^32
};

/// `description` is JSON. The old file keeps its content until the new one is on the disk. Errors: io, exhausted.
Result<void> write_state(const std::string& path, const std::string& description, std::span<const StateArray> arrays);

/// An open state. One thread.
class StateFile {
 public:
  /// Errors: not_found, io, corrupt, unsupported, naming the file. No array is read yet.
  static Result<StateFile> open(const std::string& path);

  const std::string& description() const { return description_; }
  /// Fills `out` with the array; it must have exactly its size, and its checksum must be right.
  Result<void> read(const std::string& name, std::span<float> out) const;

 private:
  struct Array {
    std::string name;
    std::uint64_t count = 0;
    std::uint64_t offset = 0;
    std::uint32_t checksum = 0;
  };
  StateFile() = default;

  std::shared_ptr<const CheckpointSource> source_;
  std::string description_;
  std::vector<Array> arrays_;
};

}  // namespace tessera
