#include "runtime/checkpoint/partial_file.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace tessera {

Error file_error(const std::string& path, const std::string& operation, int reason) {
  std::string remedy;
  if (reason == ENOSPC || reason == EDQUOT) remedy = "; free some space there or choose another folder";
  if (reason == EFBIG) remedy = "; the limit on file sizes is too small";
  if (reason == EACCES || reason == EPERM || reason == EROFS) remedy = "; choose a folder that you may write to";
  return {ErrorCode::io, path + ": " + operation + ": " + ::strerror(reason) + remedy};
}

PartialFile::PartialFile(std::string destination, std::string folder, std::string path, int file)
    : destination_(std::move(destination)), folder_(std::move(folder)), path_(std::move(path)), file_(file) {}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : destination_(std::move(other.destination_)),
      folder_(std::move(other.folder_)),
      path_(std::exchange(other.path_, {})),
      file_(std::exchange(other.file_, -1)),
      kept_(other.kept_) {}

PartialFile::~PartialFile() {
  if (!path_.empty() && !kept_) ::unlink(path_.c_str());
  if (file_ >= 0) ::close(file_);
}

Result<PartialFile> PartialFile::create(const std::string& destination, Life life) {
  const std::size_t slash = destination.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : destination.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? destination : destination.substr(slash + 1);
  struct stat status {};
  if (name.empty() || name == "." || name == ".." || destination.find('\0') != std::string::npos ||
      (::stat(destination.c_str(), &status) == 0 && !S_ISREG(status.st_mode))) {
    return Error{
        ErrorCode::invalid_argument,
        destination + ": cannot be the name of a checkpoint; give the name of a file that is new or may be replaced"};
  }
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::not_found, destination + ": its folder " + folder + " does not exist; create it first"};
  }
  const std::string path = (slash == std::string::npos ? "" : folder) + "." + name + ".partial" +
                           (life == Life::process ? "-" + std::to_string(::getpid()) : "");
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor < 0) return file_error(destination, "cannot be written", errno);
  // A process number is unique on one machine at one time, the folder may be shared and old: the lock tells a live
  // writer from a leftover. A writer keeps it until after its rename, so whoever holds it and finds its own file under
  // the name owns the name.
  struct stat named {};
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR);
  if (!locked || ::fstat(descriptor, &status) != 0 || ::lstat(path.c_str(), &named) != 0 ||
      status.st_ino != named.st_ino || status.st_dev != named.st_dev) {
    ::close(descriptor);
    return Error{ErrorCode::io, destination + ": another writer is at work on it; wait for it, or choose another name"};
  }
  PartialFile file(destination, folder, path, descriptor);
  if (life == Life::process) TESSERA_CHECK(file.clear());
  return file;
}

Result<void> PartialFile::clear() const {
  if (::ftruncate(file_, 0) != 0) return file_error(destination_, "cannot be emptied", errno);
  return {};
}

Result<void> PartialFile::resize(std::uint64_t bytes) const {
  const auto size = static_cast<off_t>(bytes);
  int result = 0;
  do {
    result = ::ftruncate(file_, size) != 0 ? -1 : ::fallocate(file_, 0, 0, size);
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return {};
  return file_error(destination_, "needs " + std::to_string(bytes) + " bytes", errno);
}

Result<void> PartialFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return file_error(destination_, "cannot be written", count == 0 ? EIO : errno);
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> PartialFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(file_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return file_error(destination_, "cannot be read back", count == 0 ? EIO : errno);
    offset += static_cast<std::uint64_t>(count);
    out = out.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> PartialFile::publish() {
  if (::fsync(file_) != 0) return file_error(destination_, "cannot be synced", errno);
  if (::rename(path_.c_str(), destination_.c_str()) != 0)
    return file_error(destination_, "cannot be renamed into place", errno);
  path_.clear();
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return file_error(destination_, "its folder cannot be synced", errno);
  // EINVAL: a file system without it (some network ones), where the rename is as durable as it gets.
  const bool synced = ::fsync(folder) == 0 || errno == EINVAL;
  const int reason = errno;
  ::close(folder);
  if (!synced) return file_error(destination_, "its folder cannot be synced", reason);
  return {};
}

}  // namespace tessera
