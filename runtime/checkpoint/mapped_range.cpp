#include "runtime/checkpoint/mapped_range.hpp"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace tessera {

MappedRange::MappedRange(std::shared_ptr<const GuardedMapping> mapping, std::size_t begin, std::size_t size)
    : data_(mapping->data() + begin), size_(size), mapping_(std::move(mapping)) {}

MappedRange::MappedRange(MappedRange&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapping_(std::move(other.mapping_)) {}

MappedRange& MappedRange::operator=(MappedRange&& other) noexcept {
  MappedRange old(std::move(other));
  std::swap(data_, old.data_);
  std::swap(size_, old.size_);
  std::swap(mapping_, old.mapping_);
  return *this;
}

Result<MappedRange> MappedRange::map_file(int file_descriptor, std::uint64_t offset, std::size_t length,
                                          const std::string& where) {
  TESSERA_CHECK(mappable_size(file_descriptor, offset, length, where));
  if (length == 0) return MappedRange{};
  const std::size_t lead = offset % static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  TESSERA_TRY(auto mapping, GuardedMapping::create(file_descriptor, offset - lead, lead + length, where));
  return MappedRange(std::move(mapping), lead, length);
}

Result<std::uint64_t> mappable_size(int file_descriptor, std::uint64_t offset, std::size_t length,
                                    const std::string& where) {
  struct stat status {};
  if (::fstat(file_descriptor, &status) != 0) {
    return Error{ErrorCode::io, where + ": cannot be examined: " + ::strerror(errno)};
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (offset > size || length > size - offset) {
    return Error{ErrorCode::corrupt, where + ": bytes " + std::to_string(offset) + " to " +
                                         std::to_string(offset + length) + " cannot be mapped, the file has only " +
                                         std::to_string(size) + "; it was truncated: restore it from a copy"};
  }
  return size;
}

}  // namespace tessera
