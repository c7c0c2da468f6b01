#include "gateway/key_file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/auth/private_file.hpp"

namespace tessera::gateway {

namespace {

/// Of the folder, since the file itself is another one after each change. Lets go at the end of a scope, or with the
/// process.
class FolderLock {
 public:
  static Result<FolderLock> take(const std::filesystem::path& folder) {
    FolderLock lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (lock.folder_ < 0) return failed("open the folder", folder, errno);
    if (::flock(lock.folder_, LOCK_EX) == 0) return lock;
    if (errno == EINTR)
      return Error{ErrorCode::cancelled, "stopped while another command changes a file of keys in " + folder.string()};
    return failed("lock the folder", folder, errno);
  }
  FolderLock(FolderLock&& other) noexcept : folder_(other.folder_) { other.folder_ = -1; }
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock() {
    if (folder_ >= 0) ::close(folder_);
  }

 private:
  explicit FolderLock(int folder) : folder_(folder) {}
  static Error failed(const char* what, const std::filesystem::path& folder, int error) {
    return {error == ENOENT ? ErrorCode::not_found : ErrorCode::io,
            std::string("cannot ") + what + " " + folder.string() + " of the API keys: " + std::strerror(error)};
  }

  int folder_;
};

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

Result<void> write(const std::filesystem::path& file, const KeyBook& book) {
  const std::string text = book.to_text();
  // A longer one could not be read again.
  if (text.size() > private_file_bytes_max) {
    return Error{ErrorCode::exhausted, file.string() + " would have more than " +
                                           std::to_string(private_file_bytes_max) +
                                           " bytes: revoke some keys with `tessera keys revoke`"};
  }
  return write_file_atomically(file, text, FileAccess::owner);
}

Result<void> change(const std::filesystem::path& file, bool may_be_new,
                    const std::function<Result<void>(KeyBook&)>& edit) {
  TESSERA_TRY(const FolderLock lock, FolderLock::take(folder_of(file)));
  auto book = read_key_file(file);
  if (!book && may_be_new && book.error().code == ErrorCode::not_found) book = KeyBook();
  if (!book) return book.error();
  TESSERA_CHECK(edit(*book));
  return write(file, *book);
}

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

Result<KeyBook> read_key_file(const std::filesystem::path& file) {
  auto text = read_private_file(file);
  if (!text && text.error().code == ErrorCode::not_found) {
    return Error{ErrorCode::not_found,
                 "there is no file of API keys " + file.string() + "; `tessera keys create` makes one"};
  }
  if (!text) return text.error();
  return KeyBook::parse(*text, file.string());
}

Result<void> add_key(const std::filesystem::path& file, ApiKey key) {
  return change(file, true, [&](KeyBook& book) { return book.add(std::move(key)); });
}

Result<void> remove_key(const std::filesystem::path& file, const std::string& name) {
  return change(file, false, [&](KeyBook& book) { return book.remove(name); });
}

std::optional<FileMark> mark_of(const std::string& file) {
  struct stat facts {};
  if (::stat(file.c_str(), &facts) != 0) return {};
  return FileMark{static_cast<std::uint64_t>(facts.st_dev), static_cast<std::uint64_t>(facts.st_ino),
                  static_cast<std::uint64_t>(facts.st_size), nanoseconds(facts.st_mtim), nanoseconds(facts.st_ctim)};
}

}  // namespace tessera::gateway
