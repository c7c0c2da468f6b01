#include "runtime/batching/page_allocator.hpp"

#include <algorithm>
#include <string>

namespace tessera {

PageAllocator::PageAllocator(std::uint32_t pages) {
  for (std::uint32_t page = pages; page > 0; --page) free_.push_back(PageId{page - 1});
}

Result<void> PageAllocator::grow(std::vector<PageId>& pages, std::uint32_t positions) {
  const std::size_t wanted = pages_for(positions);
  if (wanted <= pages.size()) return {};
  if (wanted - pages.size() > free_.size()) {
    return Error{ErrorCode::exhausted, "the KV cache is full: " + std::to_string(wanted - pages.size()) +
                                           " pages wanted, " + std::to_string(free_.size()) + " free"};
  }
  while (pages.size() < wanted) {
    pages.push_back(free_.back());
    free_.pop_back();
  }
  return {};
}

void PageAllocator::release(std::vector<PageId>& pages) {
  free_.insert(free_.end(), pages.begin(), pages.end());
  pages.clear();
  std::sort(free_.begin(), free_.end(), [](PageId a, PageId b) { return a.value > b.value; });
}

}  // namespace tessera
