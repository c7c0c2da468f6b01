#include "runtime/checkpoint/checkpoint_source.hpp"

#include <algorithm>
#include <cctype>
#include <errno.h>
#include <fcntl.h>
#include <optional>
#include <string.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/checkpoint/mapped_file.hpp"

namespace tessera {

namespace {

constexpr std::string_view supported_schemes = "file:// (or a plain path)";
constexpr std::size_t uri_bytes_max = 4096;

class FileDescriptor {
 public:
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }

 private:
  int number_;
};

/// One regular file, held open. Any thread: it uses positioned reads only.
class FileSource final : public CheckpointSource {
 public:
  FileSource(FileDescriptor file, std::string uri, std::string name, std::uint64_t size)
      : file_(std::move(file)),
        uri_(std::move(uri)),
        name_(std::move(name)),
        size_(size),
        mapped_(file_.get(), name_) {}

  const std::string& uri() const override { return uri_; }
  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return size_; }

  Result<SourceStamp> stamp() const override {
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) {
      return Error{ErrorCode::io,
                   name_ + ": cannot be examined: " + ::strerror(errno) + "; check the disk or the connection to it"};
    }
    const auto nanoseconds = [](const timespec& time) {
      return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    };
    return SourceStamp{static_cast<std::uint64_t>(status.st_size), nanoseconds(status.st_mtim),
                       nanoseconds(status.st_ctim)};
  }

  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset > size_ || out.size() > size_ - offset) return truncated(offset, out.size());
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t count =
          ::pread(file_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        return Error{ErrorCode::io, name_ + ": cannot be read at byte " + std::to_string(offset + done) + ": " +
                                        ::strerror(errno) + "; check the disk or the connection to it"};
      }
      if (count == 0) return truncated(offset, out.size());
      done += static_cast<std::size_t>(count);
    }
    return {};
  }

  Result<MappedRange> map(std::uint64_t offset, std::size_t length) const override {
    return mapped_.map(offset, length);
  }

 private:
  Error truncated(std::uint64_t offset, std::size_t length) const {
    return {ErrorCode::corrupt, name_ + ": " + std::to_string(length) + " bytes at byte " + std::to_string(offset) +
                                    " lie beyond its end; it was truncated: restore it from a copy"};
  }

  FileDescriptor file_;
  std::string uri_;
  std::string name_;
  std::uint64_t size_;
  mutable MappedFile mapped_;
};

// "s3" of "s3://bucket/key"; empty for a path. RFC 3986, section 3.1.
std::string_view scheme_of(std::string_view text) {
  const std::size_t end = text.find("://");
  if (end == std::string_view::npos || end == 0 || !std::isalpha(static_cast<unsigned char>(text[0]))) return {};
  const std::string_view scheme = text.substr(0, end);
  const bool valid = std::all_of(scheme.begin(), scheme.end(),
                                 [](unsigned char c) { return std::isalnum(c) || c == '+' || c == '-' || c == '.'; });
  return valid ? scheme : std::string_view{};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3 || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0) return std::nullopt;
    out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
    i += 2;
  }
  return out;
}

std::string percent_encode(std::string_view path) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || std::string_view("/-._~").find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(digits[byte / 16]);
      out.push_back(digits[byte % 16]);
    }
  }
  return out;
}

// The path that a URI or a path names.
Result<std::string> path_of(const std::string& uri_or_path) {
  if (uri_or_path.empty()) {
    return Error{ErrorCode::invalid_argument,
                 "no checkpoint was named; give its path or a URI of the kind " + std::string(supported_schemes)};
  }
  if (uri_or_path.size() > uri_bytes_max) {
    return Error{ErrorCode::invalid_argument,
                 "the checkpoint's name has more than " + std::to_string(uri_bytes_max) + " bytes"};
  }
  std::string path = uri_or_path;
  if (const std::string_view scheme = scheme_of(uri_or_path); !scheme.empty()) {
    std::string lower(scheme);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (lower != "file") {
      return Error{ErrorCode::unsupported, uri_or_path + ": checkpoints are not read from " + lower +
                                               ":// yet; supported: " + std::string(supported_schemes)};
    }
    std::string_view rest = std::string_view(uri_or_path).substr(scheme.size() + 3);
    if (rest.starts_with("localhost/")) rest.remove_prefix(std::string_view("localhost").size());
    const auto decoded = percent_decode(rest);
    if (!decoded || !rest.starts_with("/")) {
      return Error{ErrorCode::invalid_argument,
                   uri_or_path +
                       ": a file URI has the form file:///absolute/path, with % followed by "
                       "two hexadecimal digits"};
    }
    path = *decoded;
  }
  if (path.find('\0') != std::string::npos) {
    return Error{ErrorCode::invalid_argument, "the checkpoint's name holds a zero byte"};
  }
  return path;
}

std::string absolute_path(const std::string& path) {
  if (path.starts_with("/")) return path;
  std::string folder(static_cast<std::size_t>(uri_bytes_max), '\0');
  if (::getcwd(folder.data(), folder.size()) == nullptr) return path;
  return std::string(folder.c_str()) + "/" + path;
}

}  // namespace

Result<std::shared_ptr<const CheckpointSource>> open_source(const std::string& uri_or_path) {
  TESSERA_TRY(const std::string path, path_of(uri_or_path));
  // Non-blocking, or opening a pipe would wait for its writer.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    const int reason = errno;
    if (reason == ENOENT || reason == ENOTDIR) {
      return Error{ErrorCode::not_found,
                   path + ": no such file; check the path, or make the checkpoint with tessera import"};
    }
    return Error{ErrorCode::io, path + ": cannot be opened: " + ::strerror(reason)};
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return Error{ErrorCode::io, path + ": cannot be examined: " + ::strerror(errno)};
  }
  if (S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::invalid_argument, path + ": is a folder; name the checkpoint file in it"};
  }
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::invalid_argument, path + ": is not a regular file; a checkpoint must be one to be mapped"};
  }
  return std::shared_ptr<const CheckpointSource>(
      std::make_shared<FileSource>(std::move(file), "file://" + percent_encode(absolute_path(path)), path,
                                   static_cast<std::uint64_t>(status.st_size)));
}

}  // namespace tessera
