// The safetensors container (github.com/huggingface/safetensors, README, "Format"):
//
//   | u64 n | n bytes of JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …, "__metadata__":
//   {…}} | data |
//
// Offsets count from the start of the data; the tensors tile it without gap or overlap. Everything is checked when it
// is opened.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/byte_source.hpp"

namespace tessera {

struct SafetensorsEntry {
  std::string dtype;  ///< "F32", "BF16", …
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  ///< in the file
  std::uint64_t end = 0;

  std::uint64_t count() const;
};

/// Immutable after opening; any thread.
class SafetensorsFile {
 public:
  /// Errors: corrupt, unsupported (a dtype of unknown width).
  static Result<SafetensorsFile> open(std::unique_ptr<ByteSource> file);

  const std::string& name() const { return file_->name(); }
  const ByteSource& source() const { return *file_; }
  const std::map<std::string, SafetensorsEntry>& tensors() const { return tensors_; }

  /// Whether read() understands the dtype: F32, F16 or BF16.
  static bool is_float(const SafetensorsEntry& entry);
  /// Widens an entry of tensors(), which is_float, into `out` (entry.count() values), exactly.
  Result<void> read(const SafetensorsEntry& entry, std::span<float> out) const;

 private:
  SafetensorsFile(std::unique_ptr<ByteSource> file, std::map<std::string, SafetensorsEntry> tensors);
  std::unique_ptr<ByteSource> file_;
  std::map<std::string, SafetensorsEntry> tensors_;
};

}  // namespace tessera
