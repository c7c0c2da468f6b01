// ByteSource: the bytes of one foreign file, read by position. Parsers see only this, so that tests and fuzzers give
// them memory instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera {

/// Any thread.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// How messages name it.
  virtual const std::string& name() const = 0;
  virtual std::uint64_t size() const = 0;
  /// Fills `out` from `offset`. A read beyond the end is an error.
  virtual Result<void> read(std::uint64_t offset, std::span<std::byte> out) const = 0;
  /// Stands for the content as long as nobody means to deceive: of a file its size, the time of its last change, and a
  /// hash of its first and last bytes. Empty: not known.
  virtual Result<std::string> identity() const { return std::string(); }
};

/// A regular file, held open: it goes on reading the same file when the path is replaced. Refuses anything else.
Result<std::unique_ptr<ByteSource>> open_byte_source(const std::string& path);

/// Bytes in memory, which must outlive the source.
std::unique_ptr<ByteSource> memory_byte_source(std::span<const std::byte> bytes, const std::string& name);

/// The whole content, refused when it is larger than `bytes_max`; `what` says in messages what the file should be.
Result<std::vector<std::byte>> read_whole(const ByteSource& source, std::uint64_t bytes_max, const std::string& what);
/// The same for the file at `path`, as a text.
Result<std::string> read_text(const std::string& path, std::uint64_t bytes_max, const std::string& what);

}  // namespace tessera
