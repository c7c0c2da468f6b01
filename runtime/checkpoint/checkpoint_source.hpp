// CheckpointSource: where the bytes of a checkpoint come from. file:// today; object stores and WebHDFS later, through
// a local cache.
//
// A source is opened once and keeps seeing the same bytes: when the path is replaced, an open source still reads the
// old file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/mapped_range.hpp"

namespace tessera {

/// The state of a file, so far as the system tells without reading it: another stamp may mean other bytes.
struct SourceStamp {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;  ///< of its bytes
  std::int64_t changed_ns = 0;   ///< of what the system keeps of it; nobody can set this one back
  bool operator==(const SourceStamp&) const = default;
};

class CheckpointSource {
 public:
  virtual ~CheckpointSource() = default;
  /// "file:///models/m.h5"
  virtual const std::string& uri() const = 0;
  /// How messages name it: the path as it was given.
  virtual const std::string& name() const = 0;
  virtual std::uint64_t size() const = 0;
  /// Of the open file, as it is now. Fails where the storage has gone.
  virtual Result<SourceStamp> stamp() const = 0;
  /// Fills `out` from `offset`; a read beyond the end is an error.
  virtual Result<void> read(std::uint64_t offset, std::span<std::byte> out) const = 0;
  /// Maps [offset, offset + length) read-only. No page is touched.
  virtual Result<MappedRange> map(std::uint64_t offset, std::size_t length) const = 0;
};

/// Accepts "file:///abs/path", "/abs/path" and "relative/path". Other schemes are refused with the list of supported
/// ones.
Result<std::shared_ptr<const CheckpointSource>> open_source(const std::string& uri_or_path);

}  // namespace tessera
