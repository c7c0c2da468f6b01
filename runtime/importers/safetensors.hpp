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

/// Values of a tensor that is put together from others (hf_quantised.hpp). Immutable; any thread.
class SafetensorsReader {
 public:
  virtual ~SafetensorsReader() = default;
  /// The values from number `first` on, in whole rows.
  virtual Result<void> read(std::uint64_t first, std::span<float> out) const = 0;
};

struct SafetensorsEntry {
  std::string dtype;  ///< "F32", "BF16", …
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  ///< in the file
  std::uint64_t end = 0;
  /// Where it is set, begin and end count the bytes that the values would take as F32.
  std::shared_ptr<const SafetensorsReader> reader;

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

  /// Replaces or adds an entry that has a reader; removes one.
  void put(const std::string& name, SafetensorsEntry entry);
  void erase(const std::string& name) { tensors_.erase(name); }

  /// Whether read() understands the dtype: F32, F16, BF16 or F8_E4M3, or there is a reader.
  static bool is_float(const SafetensorsEntry& entry);
  /// Widens an entry of tensors(), which is_float, into `out` (entry.count() values), exactly.
  Result<void> read(const SafetensorsEntry& entry, std::span<float> out) const;

 private:
  Result<void> read_f8(const SafetensorsEntry& entry, std::span<float> out) const;
  SafetensorsFile(std::unique_ptr<ByteSource> file, std::map<std::string, SafetensorsEntry> tensors);
  std::unique_ptr<ByteSource> file_;
  std::map<std::string, SafetensorsEntry> tensors_;
};

}  // namespace tessera
