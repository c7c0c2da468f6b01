// WatchList: who wants to be told about changes, for both kinds of store.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cluster/store/store.hpp"

namespace tessera {

/// Owned by a store's handle, on its thread.
class WatchList {
 public:
  /// exhausted beyond store_watches_max.
  Result<std::uint64_t> add(std::string prefix, StoreWatcher watcher);
  void remove(std::uint64_t watch) { watches_.erase(watch); }
  void tell(const StoreChange& change) const;
  /// Every write of a commit that succeeded.
  void tell(const std::vector<StoreWrite>& writes, std::uint64_t revision) const;

 private:
  struct Watch {
    std::string prefix;
    StoreWatcher watcher;
  };
  std::map<std::uint64_t, Watch> watches_;
  std::uint64_t next_ = 1;
};

}  // namespace tessera
