// GuardedMapping: a part of a file in memory, read-only, guarded against SIGBUS.
//
// A mapped file that is truncated or lost makes the next touch of a missing page raise SIGBUS. The guard (installed
// with the first mapping) then puts zero pages under the whole mapping, marks it failed and lets the reader go on: it
// computes garbage that nobody sees, because whoever uses the bytes asks failed() before it hands out a result. SIGBUS
// elsewhere keeps its default meaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "runtime/base/result.hpp"

namespace tessera {

inline constexpr std::size_t huge_page_bytes = 2u << 20;

/// Reading is safe from any thread while the object lives.
class GuardedMapping {
 public:
  /// Maps [offset, offset + size) of an open file; the offset is a multiple of the page size, size > 0. `where` names
  /// the file for errors. No page is touched.
  static Result<std::shared_ptr<const GuardedMapping>> create(int file_descriptor, std::uint64_t offset,
                                                              std::size_t size, const std::string& where);
  ~GuardedMapping();
  GuardedMapping(const GuardedMapping&) = delete;
  GuardedMapping& operator=(const GuardedMapping&) = delete;

  const std::byte* data() const { return static_cast<const std::byte*>(data_); }
  /// In whole pages: bytes beyond the end of the file are zero.
  std::size_t size() const { return size_; }
  /// True once a page could not be read. Lock-free.
  bool failed() const;
  /// Asks the kernel to read what is whole huge pages within [begin, end) as such, when it is read from the disk; bytes
  /// that are in the page cache stay as they are. Why: docs/performance.md, "Huge pages".
  void prefer_huge_pages(std::size_t begin, std::size_t end) const;

 private:
  GuardedMapping(void* data, std::size_t size, int slot) : data_(data), size_(size), slot_(slot) {}
  void* data_;
  std::size_t size_;
  int slot_;
};

}  // namespace tessera
