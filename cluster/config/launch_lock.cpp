#include "cluster/config/launch_lock.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "cluster/auth/private_file.hpp"

namespace tessera {

namespace {

Error system_error(const std::filesystem::path& file, const char* what, int code) {
  return {ErrorCode::io, std::string("cannot ") + what + " " + file.string() + ": " +
                             std::generic_category().message(code) + "; check the state folder's owner and rights"};
}

/// The number that the holder wrote; 0 when it has not yet.
long holder_of(int fd) {
  char text[32] = {};
  const ssize_t got = ::pread(fd, text, sizeof text - 1, 0);
  return got > 0 ? std::strtol(text, nullptr, 10) : 0;
}

Error held(const StateFolder& state, int fd) {
  const long holder = holder_of(fd);
  return {ErrorCode::conflict,
          "another 'tessera up'" + (holder > 0 ? " (process " + std::to_string(holder) + ")" : std::string()) +
              " is starting the cluster of " + state.root().string() +
              "; wait until it is through, or stop it (Ctrl-C there" +
              (holder > 0 ? ", or kill " + std::to_string(holder) : std::string()) + "), and try again"};
}

}  // namespace

Result<LaunchLock> LaunchLock::take(const StateFolder& state) {
  TESSERA_CHECK(make_private_folder(state.root()));
  const std::filesystem::path file = state.launch_lock();
  LaunchLock lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (lock.fd_ < 0) return system_error(file, "open", errno);
  if (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return held(state, lock.fd_);
    return system_error(file, "lock", errno);
  }
  const std::string number = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.fd_, 0) != 0 || ::pwrite(lock.fd_, number.data(), number.size(), 0) < 0)
    return system_error(file, "write", errno);
  return lock;
}

Result<void> LaunchLock::check_free(const StateFolder& state) {
  const std::filesystem::path file = state.launch_lock();
  const LaunchLock probe(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (probe.fd_ < 0) return errno == ENOENT ? Result<void>() : system_error(file, "open", errno);
  if (::flock(probe.fd_, LOCK_SH | LOCK_NB) == 0) return {};
  return errno == EWOULDBLOCK ? held(state, probe.fd_) : system_error(file, "lock", errno);
}

LaunchLock::~LaunchLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace tessera
