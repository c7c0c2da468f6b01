#include "runtime/importers/packing.hpp"

#include <filesystem>
#include <string>
#include <tbb/parallel_for.h>

namespace tessera {

std::span<std::byte> PackBuffer::resize(std::size_t bytes) {
  if (capacity_ < bytes) {
    bytes_.reset();
    capacity_ = 0;
    bytes_.reset(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{64})));
    capacity_ = bytes;
  }
  return {bytes_.get(), bytes};
}

Result<void> make_and_write(std::uint32_t count, const std::function<std::size_t(std::uint32_t)>& offset,
                            PackBuffer& buffer, const std::function<void(std::uint32_t, std::byte*)>& make,
                            const std::function<Result<void>(std::uint32_t, std::span<const std::byte>)>& write) {
  for (std::uint32_t begin = 0; begin < count;) {
    std::uint32_t end = begin + 1;
    while (end < count && offset(end + 1) - offset(begin) <= limits::packed_group_bytes_max) ++end;
    const std::span<std::byte> group = buffer.resize(offset(end) - offset(begin));
    tbb::parallel_for(begin, end,
                      [&](std::uint32_t piece) { make(piece, group.data() + (offset(piece) - offset(begin))); });
    for (std::uint32_t piece = begin; piece < end; ++piece) {
      TESSERA_CHECK(write(piece, group.subspan(offset(piece) - offset(begin), offset(piece + 1) - offset(piece))));
    }
    begin = end;
  }
  return {};
}

Result<void> ProgressMeter::add(std::uint64_t bytes, const std::string& destination) {
  done_ += bytes;
  if (!progress_ || progress_(done_, total_)) return {};
  return Error{ErrorCode::cancelled, destination + ": cancelled; nothing was written under this name"};
}

std::string model_name_of(const std::string& path) {
  std::filesystem::path file(path);
  if (!file.has_filename()) file = file.parent_path();  // "folder/"
  const std::string name = file.filename().string();
  if (name.starts_with("model.") || name == "." || name == "..") {
    std::error_code failed;
    const std::filesystem::path full = std::filesystem::canonical(file, failed);
    if (failed) return name;
    return name.starts_with("model.") ? full.parent_path().filename().string() : full.filename().string();
  }
  std::error_code failed;
  return std::filesystem::is_directory(file, failed) ? name : file.stem().string();
}

}  // namespace tessera
