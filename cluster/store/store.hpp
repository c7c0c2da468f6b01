// Store: what must survive the coordinator. Keys with opaque values, compare-and-set, prefix, watch and lease, guarded
// by the coordinator's term.
//
//   auto store = SqliteStore::open("state/store.sqlite", clock);
//   auto term = (*store)->claim_term();                       // 8; whoever wrote with term 7 is deposed
//   auto revision = put(**store, "deployment/chat", bytes);   // refused with `conflict` once somebody has claimed 9
//   compare_and_set(**store, "job/12", revision, bytes);      // refused with `conflict` if somebody wrote in between
//
// A revision is a number of the whole store that every commit raises; an entry has that of its last write. So a key
// that was erased and written again never has an old revision.
//
// A lease is a key that vanishes unless it is renewed. It is measured by each handle's own clock, from when that handle
// first saw the entry's revision: no two clocks are compared, and a reboot cannot make a dead lease live for ever. The
// price: after opening, a lease of a dead owner lasts once more for its whole time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera {

inline constexpr std::size_t store_key_bytes_max = 512;
inline constexpr std::size_t store_value_bytes_max = 16u << 20;
inline constexpr std::size_t store_commit_writes_max = 1024;
inline constexpr std::size_t store_watches_max = 64;
/// Size of the whole store; writes beyond it are refused with `exhausted`.
inline constexpr std::uint64_t store_bytes_max = std::uint64_t{1} << 30;

struct StoreEntry {
  std::string key;
  std::string value;
  std::uint64_t revision = 0;
  bool operator==(const StoreEntry&) const = default;
};

/// One change of a commit.
struct StoreWrite {
  std::string key;
  std::optional<std::string> value;                ///< nothing: erase
  std::optional<std::uint64_t> expected_revision;  ///< 0: there must be no such key; nothing: whatever there is
  std::chrono::milliseconds lease{};               ///< 0: stays until it is erased
};

/// What a watcher is told, after the change is durable.
struct StoreChange {
  std::string key;
  std::optional<std::string> value;  ///< nothing: erased, or its lease ran out
  std::uint64_t revision = 0;        ///< of the commit
};
using StoreWatcher = std::function<void(const StoreChange&)>;

/// A handle on a store. One thread at a time, not synchronised; every call may block for a disk.
///
/// Errors: conflict: a newer term was claimed, or an expected revision does not match; exhausted: the disk or the store
/// is full; corrupt: the file is damaged or foreign; unavailable: another process holds the file too long; io. After an
/// error nothing of that commit is in the store.
class Store {
 public:
  virtual ~Store() = default;

  /// Raises the store's term by one and makes this handle the only one that may write. Returns the new term, from 1.
  virtual Result<std::uint64_t> claim_term() = 0;
  /// The term that this handle claimed; 0: none, it can only read.
  virtual std::uint64_t term() const = 0;

  virtual Result<std::optional<StoreEntry>> get(std::string_view key) = 0;
  /// All keys that begin with `prefix`, ascending by bytes.
  virtual Result<std::vector<StoreEntry>> list(std::string_view prefix) = 0;

  /// Applies all writes or none, if this handle's term is the store's and every expected revision matches. Keys must
  /// differ. Returns the revision that all of them have now.
  virtual Result<std::uint64_t> commit(const std::vector<StoreWrite>& writes) = 0;

  /// Calls `watcher` on the thread of the call that changed a key below `prefix`, for changes through this handle. It
  /// may not call the store. Returns a number for unwatch().
  virtual Result<std::uint64_t> watch(std::string prefix, StoreWatcher watcher) = 0;
  virtual void unwatch(std::uint64_t watch) = 0;

  /// Removes the keys whose leases ran out and tells the watchers. They read as absent before that, too. Call it at
  /// least as often as the shortest lease matters.
  virtual Result<void> expire_leases() = 0;
};

// The common cases of commit().
Result<std::uint64_t> put(Store& store, std::string key, std::string value);
/// `expected_revision` 0: create.
Result<std::uint64_t> compare_and_set(Store& store, std::string key, std::uint64_t expected_revision,
                                      std::string value);
/// Erasing what is not there is no error.
Result<void> erase(Store& store, std::string key);
Result<void> compare_and_erase(Store& store, std::string key, std::uint64_t expected_revision);
/// Creates a lease, or with its revision renews it: it starts anew.
Result<std::uint64_t> put_lease(Store& store, std::string key, std::uint64_t expected_revision, std::string value,
                                std::chrono::milliseconds lease);

/// What every implementation refuses before it touches anything.
Result<void> check_writes(const std::vector<StoreWrite>& writes);

}  // namespace tessera
