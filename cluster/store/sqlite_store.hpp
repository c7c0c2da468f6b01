// SqliteStore: the coordinator's store in one SQLite file.
//
// Write-ahead log with synchronous=FULL: a commit that returned survives kill -9 and loss of power. The folder must be
// on a local disk: SQLite's log needs shared memory between the processes that open the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "cluster/store/store.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

struct SqliteStoreOptions {
  std::uint64_t bytes_max = store_bytes_max;
  /// How long a call waits for another process that holds the file.
  std::chrono::milliseconds busy_timeout{5000};
};

class SqliteStore {
 public:
  /// Opens the file, or creates it with 0600. An error when it is damaged, not a store, or of a newer version. The
  /// clock must outlive the store.
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& path, const Clock& clock,
                                             const SqliteStoreOptions& options = {});
};

}  // namespace tessera
