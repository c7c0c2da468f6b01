#include "runtime/importers/byte_source.hpp"

#include <algorithm>
#include <cstring>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "runtime/checkpoint/manifest.hpp"

namespace tessera {

namespace {

Error beyond_end(const std::string& name, std::uint64_t offset, std::uint64_t length) {
  return {ErrorCode::corrupt, name + ": " + std::to_string(length) + " bytes at byte " + std::to_string(offset) +
                                  " lie beyond its end; it was truncated: fetch it again"};
}

Error unreadable(const std::string& name, int reason) {
  const ErrorCode code = reason == ENOENT || reason == ENOTDIR ? ErrorCode::not_found : ErrorCode::io;
  return {code, name + ": cannot be read: " + ::strerror(reason)};
}

class FileByteSource final : public ByteSource {
 public:
  FileByteSource(int file, std::string name) : file_(file), name_(std::move(name)) {}
  ~FileByteSource() override { ::close(file_); }
  FileByteSource(const FileByteSource&) = delete;
  FileByteSource& operator=(const FileByteSource&) = delete;

  Result<void> examine() {
    struct stat status {};
    if (::fstat(file_, &status) != 0) return unreadable(name_, errno);
    if (!S_ISREG(status.st_mode)) {
      return Error{ErrorCode::invalid_argument, name_ + ": is not a regular file; give the file itself"};
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
    changed_ = std::to_string(status.st_mtim.tv_sec) + "." + std::to_string(status.st_mtim.tv_nsec);
    return {};
  }

  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return size_; }

  Result<std::string> identity() const override {
    constexpr std::uint64_t sample_bytes = std::uint64_t{1} << 20;
    const std::uint64_t length = std::min(size_, sample_bytes);
    std::string sample(2 * length, '\0');
    const std::span<std::byte> bytes = std::as_writable_bytes(std::span(sample));
    TESSERA_CHECK(read(0, bytes.first(length)));
    TESSERA_CHECK(read(size_ - length, bytes.subspan(length)));
    return std::to_string(size_) + " " + changed_ + " " + content_id_of(sample);
  }

  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset > size_ || out.size() > size_ - offset) return beyond_end(name_, offset, out.size());
    while (!out.empty()) {
      const ssize_t count = ::pread(file_, out.data(), out.size(), static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return unreadable(name_, errno);
      if (count == 0) return beyond_end(name_, offset, out.size());
      offset += static_cast<std::uint64_t>(count);
      out = out.subspan(static_cast<std::size_t>(count));
    }
    return {};
  }

 private:
  int file_;
  std::string name_;
  std::uint64_t size_ = 0;
  std::string changed_;
};

class MemoryByteSource final : public ByteSource {
 public:
  MemoryByteSource(std::span<const std::byte> bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return bytes_.size(); }

  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) return beyond_end(name_, offset, out.size());
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }

 private:
  std::span<const std::byte> bytes_;
  std::string name_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_byte_source(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return Error{ErrorCode::invalid_argument, "'" + path.substr(0, path.find('\0')) + "': is not the name of a file"};
  }
  // Not blocking: a named pipe must be refused, not waited for.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return unreadable(path, errno);
  auto source = std::make_unique<FileByteSource>(file, path);
  TESSERA_CHECK(source->examine());
  return std::unique_ptr<ByteSource>(std::move(source));
}

std::unique_ptr<ByteSource> memory_byte_source(std::span<const std::byte> bytes, const std::string& name) {
  return std::make_unique<MemoryByteSource>(bytes, name);
}

Result<std::vector<std::byte>> read_whole(const ByteSource& source, std::uint64_t bytes_max, const std::string& what) {
  if (source.size() > bytes_max) {
    return Error{ErrorCode::corrupt, source.name() + ": has " + std::to_string(source.size()) + " bytes; " + what +
                                         " has at most " + std::to_string(bytes_max)};
  }
  std::vector<std::byte> bytes(source.size());
  TESSERA_CHECK(source.read(0, bytes));
  return bytes;
}

Result<std::string> read_text(const std::string& path, std::uint64_t bytes_max, const std::string& what) {
  TESSERA_TRY(const auto source, open_byte_source(path));
  TESSERA_TRY(const std::vector<std::byte> bytes, read_whole(*source, bytes_max, what));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace tessera
