#include "runtime/batching/page_cache.hpp"

#include "runtime/base/ensure.hpp"

namespace tessera {

PageCache::PageCache(std::uint32_t pages) : pages_(pages) {
  for (std::uint32_t page = 0; page < pages; ++page) free_.insert(free_.end(), PageId{page});
}

PageId PageCache::take() {
  TESSERA_ENSURE(available() > 0);
  PageId page;
  if (!free_.empty()) {
    page = *free_.begin();
    free_.erase(free_.begin());
  } else {
    page = idle_.begin()->second;
    wake(pages_[page.value]);
    unname(pages_[page.value]);
  }
  pages_[page.value].users = 1;
  return page;
}

std::optional<PageId> PageCache::claim(PageId page, const PageKey* key) {
  if (page.value >= pages_.size()) return {};
  Page& claimed = pages_[page.value];
  if (claimed.users > 0) {
    if (key == nullptr || claimed.key != *key) return {};
    ++claimed.users;
    return page;
  }
  if (claimed.key) {
    wake(claimed);
    unname(claimed);
  } else {
    free_.erase(page);
  }
  claimed.users = 1;
  return key == nullptr ? page : name(page, *key);
}

std::optional<PageId> PageCache::find(const PageKey& key) const {
  const auto entry = named_.find(key);
  if (entry == named_.end()) return {};
  return entry->second;
}

bool PageCache::is_idle(PageId page) const { return pages_[page.value].idle_since != 0; }

void PageCache::use(PageId page) {
  Page& used = pages_[page.value];
  TESSERA_ENSURE(used.key.has_value());
  wake(used);
  ++used.users;
}

PageId PageCache::name(PageId page, const PageKey& key) {
  Page& named = pages_[page.value];
  TESSERA_ENSURE(named.users == 1 && !named.key);
  const auto [entry, is_new] = named_.try_emplace(key, page);
  if (is_new) {
    named.key = key;
    return page;
  }
  use(entry->second);
  leave(page);
  return entry->second;
}

void PageCache::release(std::vector<PageId>& pages) {
  for (; !pages.empty(); pages.pop_back()) leave(pages.back());
}

void PageCache::forget() {
  for (const auto& [since, page] : idle_) {
    pages_[page.value] = {};
    free_.insert(page);
  }
  idle_.clear();
  named_.clear();
  TESSERA_ENSURE(free_.size() == pages_.size());
}

void PageCache::leave(PageId page) {
  Page& left = pages_[page.value];
  TESSERA_ENSURE(left.users > 0);
  if (--left.users > 0) return;
  if (!left.key) {
    free_.insert(page);
    return;
  }
  left.idle_since = next_++;
  idle_.emplace_hint(idle_.end(), left.idle_since, page);
}

void PageCache::wake(Page& page) {
  if (page.idle_since == 0) return;
  idle_.erase(page.idle_since);
  page.idle_since = 0;
}

void PageCache::unname(Page& page) {
  named_.erase(*page.key);
  page.key.reset();
}

}  // namespace tessera
