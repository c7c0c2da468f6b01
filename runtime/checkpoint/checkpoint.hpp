// Checkpoint: an open model file. Opening reads structure and manifest only; tensors are mapped, never copied.
//
//   TESSERA_TRY(auto source, open_source("m.h5"));
//   TESSERA_TRY(auto checkpoint, Checkpoint::open(source));
//   TESSERA_TRY(auto q, checkpoint->map("layers.0.attn_q", {0, 4}));     // slices 0..3 only
//   kernel(q.unit(2), …);
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint_source.hpp"
#include "runtime/checkpoint/manifest.hpp"

namespace tessera {

/// The mapped units of one tensor. Keeps the file mapped as long as it lives.
class MappedTensor {
 public:
  MappedTensor() = default;
  MappedTensor(MappedRange range, TensorLayout layout, SliceRange units);

  const TensorLayout& layout() const { return layout_; }
  /// For matrices only.
  const PackedLayout& packed() const { return std::get<PackedLayout>(layout_); }
  SliceRange units() const { return units_; }
  /// First byte of a unit inside units(); 64-byte aligned.
  const std::byte* unit(std::uint32_t unit) const;
  std::size_t bytes() const { return range_.size(); }
  bool failed() const { return range_.failed(); }

 private:
  MappedRange range_;
  TensorLayout layout_;
  SliceRange units_;
};

class Checkpoint {
 public:
  /// Refuses: not HDF5, not complete, unknown version, types other than fixed-length, datasets that are not contiguous,
  /// aligned and inside the file, a manifest that does not match, a content id other than `expected_content_id` (when
  /// that is not empty).
  static Result<std::shared_ptr<const Checkpoint>> open(std::shared_ptr<const CheckpointSource> source,
                                                        const std::string& expected_content_id = {});

  const Manifest& manifest() const { return manifest_; }
  const std::string& content_id() const { return content_id_; }
  const CheckpointSource& source() const { return *source_; }
  /// Null when there is no such tensor. Quick also where a model has tens of thousands.
  const TensorEntry* find(const std::string& tensor) const;

  /// Maps some units of a tensor (a vector has one). No page is touched. Any thread.
  Result<MappedTensor> map(const std::string& tensor, SliceRange units) const;
  Result<MappedTensor> map_all(const std::string& tensor) const;
  /// Checked against its checksum. Empty when the file has no tokenizer.
  Result<std::vector<std::byte>> read_tokenizer() const;

  /// Compares the bytes of one unit with its checksum; the error names file, dataset and slice.
  Result<void> verify_unit(const TensorEntry& entry, std::uint32_t unit) const;
  /// All tensors and the tokenizer. `progress(done_bytes, total_bytes)` is called after each unit and returns false to
  /// cancel.
  Result<void> verify(const std::function<bool(std::uint64_t, std::uint64_t)>& progress) const;

 private:
  Checkpoint() = default;
  std::shared_ptr<const CheckpointSource> source_;
  Manifest manifest_;
  std::string content_id_;
  std::vector<std::uint64_t> offsets_;                      // file offset of each tensor, in manifest order
  std::unordered_map<std::string, std::size_t> number_of_;  // its number there
  std::uint64_t tokenizer_offset_ = 0;
};

}  // namespace tessera
