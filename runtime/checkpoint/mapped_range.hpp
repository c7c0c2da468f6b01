// MappedRange: read-only bytes of a file in memory, guarded against SIGBUS.
//
// A mapped file that is truncated or lost makes the next touch of a missing page raise SIGBUS. The guard (installed
// with the first mapping) then puts zero pages under the whole range, marks it failed and lets the reader go on: it
// computes garbage that nobody sees, because whoever uses the range asks failed() before it hands out a result. SIGBUS
// elsewhere keeps its default meaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/base/result.hpp"

namespace tessera {

/// Moves, does not copy. Reading is safe from any thread while the object lives.
class MappedRange {
 public:
  MappedRange() = default;
  MappedRange(MappedRange&& other) noexcept;
  MappedRange& operator=(MappedRange&& other) noexcept;
  ~MappedRange();

  /// Maps [offset, offset + length) of an open file; the offset need not be page-aligned. `where` names the file for
  /// errors.
  static Result<MappedRange> map_file(int file_descriptor, std::uint64_t offset, std::size_t length,
                                      const std::string& where);

  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// True once a page of the range could not be read. Lock-free.
  bool failed() const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  void* mapping_ = nullptr;  // page-aligned start
  std::size_t mapping_size_ = 0;
  int guard_slot_ = -1;
};

}  // namespace tessera
