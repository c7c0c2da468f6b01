#include "cluster/store/memory_store.hpp"

#include "cluster/store/store_errors.hpp"

namespace tessera {

Result<std::uint64_t> MemoryStore::claim_term() {
  if (content_->commits_left == 0) return store_is_full("memory");
  --content_->commits_left;
  return term_ = ++content_->term;
}

bool MemoryStore::is_live(const std::string& key, const MemoryStoreContent::Value& value) {
  return value.lease.count() == 0 || !leases_.has_run_out(key, value.revision, value.lease);
}

Result<std::optional<StoreEntry>> MemoryStore::get(std::string_view key) {
  const auto found = content_->entries.find(key);
  if (found == content_->entries.end() || !is_live(found->first, found->second)) return std::optional<StoreEntry>();
  return std::optional(StoreEntry{found->first, found->second.value, found->second.revision});
}

Result<std::vector<StoreEntry>> MemoryStore::list(std::string_view prefix) {
  std::vector<StoreEntry> found;
  for (auto at = content_->entries.lower_bound(prefix); at != content_->entries.end() && at->first.starts_with(prefix);
       ++at) {
    if (is_live(at->first, at->second)) found.push_back({at->first, at->second.value, at->second.revision});
  }
  return found;
}

Result<std::uint64_t> MemoryStore::commit(const std::vector<StoreWrite>& writes) {
  TESSERA_CHECK(check_writes(writes));
  TESSERA_CHECK(check_term(term_, content_->term));
  for (const StoreWrite& write : writes) {
    if (!write.expected_revision) continue;
    TESSERA_TRY(const std::optional<StoreEntry> entry, get(write.key));
    TESSERA_CHECK(check_revision(write, entry ? entry->revision : 0));
  }
  if (content_->commits_left == 0) return store_is_full("memory");
  --content_->commits_left;
  const std::uint64_t revision = ++content_->revision;
  for (const StoreWrite& write : writes) {
    leases_.forget(write.key);
    if (!write.value) {
      content_->entries.erase(write.key);
      continue;
    }
    content_->entries[write.key] = {*write.value, revision, write.lease};
    if (write.lease.count() > 0) leases_.has_run_out(write.key, revision, write.lease);  // its time begins
  }
  watches_.tell(writes, revision);
  return revision;
}

Result<std::uint64_t> MemoryStore::watch(std::string prefix, StoreWatcher watcher) {
  return watches_.add(std::move(prefix), std::move(watcher));
}

Result<void> MemoryStore::expire_leases() {
  std::vector<StoreWrite> expired;
  std::set<std::string> leases;
  for (const auto& [key, value] : content_->entries) {
    if (value.lease.count() > 0) leases.insert(key);
    const bool is_over = !is_live(key, value);
    if (is_over && expired.size() < store_commit_writes_max) expired.push_back({key, std::nullopt, std::nullopt, {}});
  }
  leases_.retain(leases);
  if (!expired.empty()) TESSERA_CHECK(commit(expired));
  return {};
}

}  // namespace tessera
