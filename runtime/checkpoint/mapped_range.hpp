// MappedRange: read-only bytes of a file in memory. The range may be a part of a larger mapping, and fails with it
// (guarded_mapping.hpp): whoever uses it asks failed() before it hands out a result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/guarded_mapping.hpp"

namespace tessera {

/// Moves, does not copy. Reading is safe from any thread while the object lives.
class MappedRange {
 public:
  MappedRange() = default;
  /// Bytes [begin, begin + size) of a mapping.
  MappedRange(std::shared_ptr<const GuardedMapping> mapping, std::size_t begin, std::size_t size);
  MappedRange(MappedRange&& other) noexcept;
  MappedRange& operator=(MappedRange&& other) noexcept;
  ~MappedRange() = default;

  /// Maps [offset, offset + length) of an open file alone; the offset need not be page-aligned. `where` names the file
  /// for errors.
  static Result<MappedRange> map_file(int file_descriptor, std::uint64_t offset, std::size_t length,
                                      const std::string& where);

  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// True once a page of the mapping could not be read. Lock-free.
  bool failed() const { return mapping_ && mapping_->failed(); }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::shared_ptr<const GuardedMapping> mapping_;
};

/// The size of an open file, which has to have [offset, offset + length): `corrupt` when it was truncated.
Result<std::uint64_t> mappable_size(int file_descriptor, std::uint64_t offset, std::size_t length,
                                    const std::string& where);

}  // namespace tessera
