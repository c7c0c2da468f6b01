#include "cluster/auth/private_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/write_all.hpp"

namespace tessera {

namespace {

Error system_error(const std::string& action, const std::filesystem::path& path, int error) {
  const ErrorCode code = error == ENOENT   ? ErrorCode::not_found
                         : error == ENOSPC ? ErrorCode::exhausted
                                           : ErrorCode::io;
  return Error{code, "cannot " + action + " " + path.string() + ": " + std::strerror(error)};
}

/// Closes at the end of a scope.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

/// 0, or errno. The rename is not durable before its folder is.
int sync_folder(const std::filesystem::path& folder) {
  const Descriptor descriptor{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  return descriptor.number >= 0 && ::fsync(descriptor.number) == 0 ? 0 : errno;
}

Result<std::string> read_file(const std::filesystem::path& path, bool is_private) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat facts {};
  if (file.number < 0 || ::fstat(file.number, &facts) != 0) return system_error("read", path, errno);
  if (is_private && (facts.st_mode & 077) != 0) {
    return Error{ErrorCode::denied, path.string() + " holds a secret that others may read: chmod 600 " + path.string()};
  }
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::read(file.number, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("read", path, errno);
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
    if (text.size() > private_file_bytes_max) {
      return Error{ErrorCode::corrupt, path.string() + " is longer than " + std::to_string(private_file_bytes_max) +
                                           " bytes: it is not the file that is expected there"};
    }
  }
}

}  // namespace

Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view text, FileAccess access,
                                   FileDurability durability) {
  std::string temporary = path.string() + ".XXXXXX";
  const int file = ::mkostemp(temporary.data(), O_CLOEXEC);  // made with 0600
  if (file < 0) return system_error("write", path, errno);
  int error = write_all(file, text);
  if (error == 0 && access == FileAccess::everyone && ::fchmod(file, 0644) != 0) error = errno;
  const bool synced = durability == FileDurability::power_loss;
  if (error == 0 && synced && ::fsync(file) != 0) error = errno;
  if (::close(file) != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    return system_error("write", path, error);
  }
  if (!synced) return {};
  error = sync_folder(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
  if (error != 0) return system_error("write", path, error);
  return {};
}

Result<std::string> read_text_file(const std::filesystem::path& path) { return read_file(path, false); }

Result<std::string> read_private_file(const std::filesystem::path& path) { return read_file(path, true); }

Result<void> make_private_folder(const std::filesystem::path& path) {
  std::error_code failed;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), failed);
  if (failed) return system_error("create folder", path.parent_path(), failed.value());
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_error("create folder", path, errno);
  if (::chmod(path.c_str(), 0700) != 0) return system_error("protect folder", path, errno);
  if (!std::filesystem::is_directory(path, failed)) return system_error("create folder", path, ENOTDIR);
  return {};
}

}  // namespace tessera
