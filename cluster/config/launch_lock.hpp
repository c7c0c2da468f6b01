// LaunchLock: only one `tessera up` works on a cluster at a time. Two at once would start every node twice, and the one
// that fails would stop what the other has started.
//
//   TESSERA_TRY(const LaunchLock lock, LaunchLock::take(state));       // up, until it ends
//   TESSERA_CHECK(LaunchLock::check_free(state));                      // down, before it stops anything
//
// A file lock of the system on launch.lock in the state folder: it goes with its process, however that ends. The file
// holds the holder's process number, for the message.
#pragma once

#include <utility>

#include "cluster/config/state_folder.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Moves, does not copy. Not inherited by the nodes that the holder starts.
class LaunchLock {
 public:
  /// Makes the state folder if need be. `conflict` says who holds the lock, and what to do.
  static Result<LaunchLock> take(const StateFolder& state);
  /// Whether nobody holds it now; `conflict` as above.
  static Result<void> check_free(const StateFolder& state);

  LaunchLock(LaunchLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  LaunchLock& operator=(LaunchLock&&) = delete;
  LaunchLock(const LaunchLock&) = delete;
  ~LaunchLock();

 private:
  explicit LaunchLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace tessera
