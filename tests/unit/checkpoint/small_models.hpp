// Small checkpoints with known bytes, for the tests of runtime/checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/checkpoint_writer.hpp"

namespace tessera::test {

/// One layer, 11 or 12 tensors, some 60 KB on disk as f32.
ModelShape smallest_shape();
/// Two layers and several slices of every kind: 3 of attention, 4 of FFN, 3 of vocabulary.
ModelShape sliced_shape();

/// Everything that CheckpointWriter::create wants, with a chat template.
Manifest header_of(const ModelShape& shape, DType dtype);

/// The bytes of one unit: a pure function of the arguments.
std::vector<std::byte> unit_bytes(std::uint32_t seed, const TensorEntry& entry, std::uint32_t tensor,
                                  std::uint32_t unit);
std::vector<std::byte> tokenizer_bytes();

/// Writes all units, and the tokenizer; does not finish.
Result<void> write_units(CheckpointWriter& writer, std::uint32_t seed);
/// A complete checkpoint; returns its content id.
Result<std::string> write_model(const std::string& path, const ModelShape& shape, DType dtype, std::uint32_t seed = 1);

Result<std::shared_ptr<const Checkpoint>> open_checkpoint(const std::string& path, const std::string& content_id = {});

std::vector<std::byte> read_file(const std::string& path);
void write_file(const std::string& path, const std::vector<std::byte>& bytes);

/// A file without a disk under it, for tests that change one thousands of times.
class MemoryFile {
 public:
  MemoryFile();
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  /// Opens this very file, in this process.
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }
  /// Replaces all of its bytes.
  void set(const std::vector<std::byte>& bytes);

 private:
  int file_;
};

/// The message of an error, or "no error".
template <typename T>
std::string message_of(const Result<T>& result) {
  return result ? "no error" : result.error().message;
}

}  // namespace tessera::test
