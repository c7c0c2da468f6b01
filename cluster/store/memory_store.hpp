// MemoryStore: a store that lives in memory, for tests and simulation. Several handles may share one content: that is a
// coordinator that restarts, or a second one beside it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "cluster/store/lease_timer.hpp"
#include "cluster/store/store.hpp"
#include "cluster/store/watch_list.hpp"
#include "runtime/base/clock.hpp"

namespace tessera {

/// What the handles share; outlives them. One thread at a time.
struct MemoryStoreContent {
  struct Value {
    std::string value;
    std::uint64_t revision = 0;
    std::chrono::milliseconds lease{};
  };
  std::map<std::string, Value, std::less<>> entries;
  std::uint64_t revision = 0, term = 0;
  /// Commits that still succeed before every one is refused with `exhausted`; a test's disk that fills up.
  std::uint64_t commits_left = UINT64_MAX;
};

class MemoryStore final : public Store {
 public:
  MemoryStore(std::shared_ptr<MemoryStoreContent> content, const Clock& clock)
      : content_(std::move(content)), leases_(clock) {}

  Result<std::uint64_t> claim_term() override;
  std::uint64_t term() const override { return term_; }
  Result<std::optional<StoreEntry>> get(std::string_view key) override;
  Result<std::vector<StoreEntry>> list(std::string_view prefix) override;
  Result<std::uint64_t> commit(const std::vector<StoreWrite>& writes) override;
  Result<std::uint64_t> watch(std::string prefix, StoreWatcher watcher) override;
  void unwatch(std::uint64_t watch) override { watches_.remove(watch); }
  Result<void> expire_leases() override;

 private:
  bool is_live(const std::string& key, const MemoryStoreContent::Value& value);

  std::shared_ptr<MemoryStoreContent> content_;
  LeaseTimer leases_;
  WatchList watches_;
  std::uint64_t term_ = 0;
};

}  // namespace tessera
