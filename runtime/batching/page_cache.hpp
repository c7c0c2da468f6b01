// PageCache: the pages of a replica's KV cache, and what is known of their contents. One cache, beside the conductor,
// speaks for all shards, as a page number means the same positions on each of them.
//
//   free ──take──► used, anonymous ──name──► used, named ◄──── use ────┐
//     ▲                  │                       │ last user releases  │
//     └──── release ─────┘                       └──────────────────► idle (named)
//     └───────────────────────────── take, when no page is free: the one idle for longest
//
// A named page is full and never written again, so any number of sequences may read it at once, and none has to copy
// it. Idle pages keep their contents until somebody needs the memory: they count as available.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/batching/page_key.hpp"

namespace tessera {

/// Confined to whoever plans the steps.
class PageCache {
 public:
  explicit PageCache(std::uint32_t pages);

  /// That nobody uses: free or idle.
  std::uint32_t available() const { return static_cast<std::uint32_t>(free_.size() + idle_.size()); }
  /// Of these, those that hold a named page.
  std::uint32_t idle() const { return static_cast<std::uint32_t>(idle_.size()); }

  /// A page for its one user, anonymous: the lowest free one, or else the one that was idle for longest. One must be
  /// available.
  PageId take();
  /// Takes exactly this page, whose contents another cache vouches for: `key` when it is full, null when it has one
  /// user only. Returns the page that holds it from now on, as name() does; nothing when the page has a user already
  /// and is not known under this key, or when there is no such page.
  std::optional<PageId> claim(PageId page, const PageKey* key);

  std::optional<PageId> find(const PageKey& key) const;
  bool is_idle(PageId page) const;
  /// One more user of a named page.
  void use(PageId page);
  /// `page`, whose only user calls this, is full and holds what `key` says. Returns the page that holds it from now on,
  /// for this user: when another one has the name already, that one, and `page` is free.
  PageId name(PageId page, const PageKey& key);
  /// One user less of each; they are empty then. The last pages go first, so that of a sequence whose pages are needed
  /// elsewhere the beginning stays longest: without it the rest cannot be found.
  void release(std::vector<PageId>& pages);
  /// No page holds anything any more. None may be in use.
  void forget();

 private:
  struct Page {
    std::uint32_t users = 0;
    std::uint64_t idle_since = 0;  ///< key of idle_; 0: not idle
    std::optional<PageKey> key;
  };
  void leave(PageId page);
  void wake(Page& page);
  void unname(Page& page);

  std::vector<Page> pages_;
  std::set<PageId> free_;
  std::map<std::uint64_t, PageId> idle_;  ///< longest first
  std::unordered_map<PageKey, PageId, PageKeyHash> named_;
  std::uint64_t next_ = 1;
};

}  // namespace tessera
