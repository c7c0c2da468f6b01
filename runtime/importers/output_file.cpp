#include "runtime/importers/output_file.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace tessera {

namespace {

Error failed(const std::string& path, const std::string& operation, int reason) {
  const char* remedy = "";
  if (reason == ENOSPC || reason == EDQUOT) remedy = "; free some space there or choose another folder";
  if (reason == EACCES || reason == EPERM || reason == EROFS) remedy = "; choose a folder that you may write to";
  return {ErrorCode::io, path + ": " + operation + ": " + ::strerror(reason) + remedy};
}

}  // namespace

OutputFile::OutputFile(int file, std::string destination, std::string folder, std::string path)
    : file_(file), destination_(std::move(destination)), folder_(std::move(folder)), path_(std::move(path)) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : file_(std::exchange(other.file_, -1)),
      destination_(std::move(other.destination_)),
      folder_(std::move(other.folder_)),
      path_(std::exchange(other.path_, {})),
      size_(other.size_) {}

OutputFile::~OutputFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
  if (file_ >= 0) ::close(file_);
}

Result<OutputFile> OutputFile::create(const std::string& destination) {
  const std::size_t slash = destination.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : destination.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? destination : destination.substr(slash + 1);
  struct stat status {};
  if (name.empty() || name == "." || name == ".." || destination.find('\0') != std::string::npos ||
      (::stat(destination.c_str(), &status) == 0 && !S_ISREG(status.st_mode))) {
    return Error{ErrorCode::invalid_argument,
                 destination + ": cannot be the name of a file; choose one that is new or may be replaced"};
  }
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::not_found, destination + ": its folder " + folder + " does not exist; create it first"};
  }
  const std::string path =
      (slash == std::string::npos ? "" : folder) + "." + name + ".partial-" + std::to_string(::getpid());
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file < 0) return failed(destination, "cannot be written", errno);
  return OutputFile(file, destination, folder, path);
}

Result<void> OutputFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failed(destination_, "cannot be written", count == 0 ? EIO : errno);
    size_ += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> OutputFile::publish() {
  if (::fsync(file_) != 0) return failed(destination_, "cannot be synced", errno);
  if (::rename(path_.c_str(), destination_.c_str()) != 0)
    return failed(destination_, "cannot be renamed into place", errno);
  path_.clear();
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return failed(destination_, "its folder cannot be synced", errno);
  // EINVAL: a file system without it, where the rename is as durable as it gets.
  const bool synced = ::fsync(folder) == 0 || errno == EINVAL;
  const int reason = errno;
  ::close(folder);
  if (!synced) return failed(destination_, "its folder cannot be synced", reason);
  return {};
}

Result<void> write_text(const std::string& destination, std::string_view text) {
  TESSERA_TRY(OutputFile file, OutputFile::create(destination));
  TESSERA_CHECK(file.append(std::as_bytes(std::span(text))));
  return file.publish();
}

}  // namespace tessera
