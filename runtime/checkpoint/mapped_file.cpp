#include "runtime/checkpoint/mapped_file.hpp"

#include <algorithm>
#include <iterator>

namespace tessera {

namespace {

/// Ranges that lie so close together count as touching: datasets begin at multiples of a page.
constexpr std::uint64_t gap_max = 4096;

}  // namespace

Result<MappedRange> MappedFile::map(std::uint64_t offset, std::size_t length) {
  TESSERA_TRY(const std::uint64_t size, mappable_size(file_descriptor_, offset, length, where_));
  if (length == 0) return MappedRange{};
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const GuardedMapping> mapping = mapping_.lock();
  if (!mapping || mapping->failed() || offset + length > mapping->size()) {
    auto whole = GuardedMapping::create(file_descriptor_, 0, size, where_);
    // Where addresses are limited, there may be room for what is asked for.
    if (!whole) return MappedRange::map_file(file_descriptor_, offset, length, where_);
    mapping = std::move(*whole);
    mapping_ = mapping;
    ranges_.clear();
  }
  prefer_huge_pages(*mapping, offset, offset + length);
  return MappedRange(std::move(mapping), offset, length);
}

void MappedFile::prefer_huge_pages(const GuardedMapping& mapping, std::uint64_t begin, std::uint64_t end) {
  auto next = ranges_.upper_bound(begin);
  if (next != ranges_.begin() && std::prev(next)->second + gap_max >= begin) {
    const auto before = std::prev(next);
    if (before->second >= end) return;
    begin = before->first;
    ranges_.erase(before);
  }
  while (next != ranges_.end() && next->first <= end + gap_max) {
    end = std::max(end, next->second);
    next = ranges_.erase(next);
  }
  ranges_.emplace(begin, end);
  mapping.prefer_huge_pages(begin, end);
}

}  // namespace tessera
