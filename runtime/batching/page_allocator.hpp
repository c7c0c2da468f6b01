// PageAllocator: which pages of a KV cache are free, where sequences share none (tessera run, embeddings; a conductor
// has a PageCache). A page number means the same positions on every shard, so one allocator speaks for all of them.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Token positions in one page: a multiple of 16 that divides 128. Results do not depend on it (tests/kernels).
inline constexpr std::uint32_t kv_page_positions = 32;

inline std::uint32_t pages_for(std::uint32_t positions) {
  return (positions + kv_page_positions - 1) / kv_page_positions;
}

/// Hands out page numbers of one replica, lowest first. Confined to whoever plans the steps.
class PageAllocator {
 public:
  explicit PageAllocator(std::uint32_t pages);
  std::uint32_t free_pages() const { return static_cast<std::uint32_t>(free_.size()); }
  /// Grows `pages` until it covers `positions`; `exhausted` and unchanged when there are not enough free ones.
  Result<void> grow(std::vector<PageId>& pages, std::uint32_t positions);
  /// Returns all pages.
  void release(std::vector<PageId>& pages);

 private:
  std::vector<PageId> free_;  // highest first
};

}  // namespace tessera
