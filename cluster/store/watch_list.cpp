#include "cluster/store/watch_list.hpp"

namespace tessera {

Result<std::uint64_t> WatchList::add(std::string prefix, StoreWatcher watcher) {
  if (watches_.size() >= store_watches_max) {
    return Error{ErrorCode::exhausted, "a store has at most " + std::to_string(store_watches_max) + " watchers"};
  }
  watches_.emplace(next_, Watch{std::move(prefix), std::move(watcher)});
  return next_++;
}

void WatchList::tell(const StoreChange& change) const {
  for (const auto& [number, watch] : watches_) {
    if (change.key.starts_with(watch.prefix)) watch.watcher(change);
  }
}

void WatchList::tell(const std::vector<StoreWrite>& writes, std::uint64_t revision) const {
  for (const StoreWrite& write : writes) tell({write.key, write.value, revision});
}

}  // namespace tessera
