// MappedFile: the ranges of one open file that are in memory, in one mapping, so that ranges that touch each other can
// share huge pages. A range costs addresses only, until it is read.
//
// Huge pages are asked for where nothing but ranges that somebody mapped lies in them: a shard that holds an eighth of
// a model must not read the other seven.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/mapped_range.hpp"

namespace tessera {

/// Safe from any thread. The ranges may outlive it.
class MappedFile {
 public:
  /// `where` names the file for errors; the descriptor stays open as long as the object lives.
  MappedFile(int file_descriptor, std::string where) : file_descriptor_(file_descriptor), where_(std::move(where)) {}

  /// [offset, offset + length). After a range has failed, the next one is of a new mapping.
  Result<MappedRange> map(std::uint64_t offset, std::size_t length);

 private:
  void prefer_huge_pages(const GuardedMapping& mapping, std::uint64_t begin, std::uint64_t end);

  int file_descriptor_;
  std::string where_;
  std::mutex mutex_;  // guards the rest
  std::weak_ptr<const GuardedMapping> mapping_;
  std::map<std::uint64_t, std::uint64_t> ranges_;  ///< of the mapping: begin to end, apart from each other
};

}  // namespace tessera
