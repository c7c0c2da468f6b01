#include "runtime/model/kv_cache.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

Result<KvCache> KvCache::create(const KvShape& shape) {
  KvCache cache(shape);
  const std::size_t count = std::size_t{shape.layers.count()} * shape.heads.count();
  std::size_t bytes = cache.page_bytes(), all = 0;
  const bool fits = !__builtin_mul_overflow(bytes, std::size_t{2} * shape.pages, &bytes) &&
                    !__builtin_mul_overflow(bytes, count, &all);
  if (fits && all == 0) return cache;
  const std::string arithmetic =
      std::to_string(shape.layers.count()) + " layers x " + std::to_string(shape.heads.count()) + " KV heads x 2 x " +
      std::to_string(shape.pages) + " pages x " + std::to_string(cache.page_bytes()) + " bytes";
  cache.regions_.reserve(fits ? count : 0);
  for (std::size_t i = 0; i < count; ++i) {
    void* memory = MAP_FAILED;
    if (fits)
      memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      return Error{ErrorCode::exhausted,
                   "cannot reserve the KV cache (" + arithmetic + "); use a shorter context or fewer sequences"};
    }
    cache.regions_.emplace_back(static_cast<std::byte*>(memory), bytes);
  }
  return cache;
}

KvCache::Region::Region(Region&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

KvCache::Region& KvCache::Region::operator=(Region&& other) noexcept {
  Region old(std::move(*this));
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

KvCache::Region::~Region() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

std::size_t KvCache::page_bytes() const {
  return std::size_t{kv_page_positions} * shape_.head_dim * bytes_per_element(shape_.dtype);
}

std::size_t KvCache::bytes_of(std::uint32_t pages) const {
  return std::size_t{2} * shape_.layers.count() * shape_.heads.count() * pages * page_bytes();
}

std::size_t KvCache::place(std::uint32_t layer, std::uint32_t head) const {
  TESSERA_ENSURE(shape_.holds(layer, head));
  return std::size_t{layer - shape_.layers.begin} * shape_.heads.count() + (head - shape_.heads.begin);
}

bool KvCache::has(std::uint32_t layer, std::uint32_t head) const {
  return shape_.holds(layer, head) && !regions_.empty() && regions_[place(layer, head)].memory() != nullptr;
}

std::byte* KvCache::k(std::uint32_t layer, std::uint32_t head) const {
  std::byte* const memory = regions_[place(layer, head)].memory();
  TESSERA_ENSURE(memory != nullptr);
  return memory;
}

std::byte* KvCache::v(std::uint32_t layer, std::uint32_t head) const {
  return k(layer, head) + shape_.pages * page_bytes();
}

bool KvCache::populate(std::uint32_t layer, std::uint32_t head, std::uint32_t pages) {
  const std::size_t bytes = std::min(pages, shape_.pages) * page_bytes();
  if (bytes == 0) return true;
  const auto system_page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto ask = [&](std::byte* first) {
    const std::size_t before = reinterpret_cast<std::uintptr_t>(first) % system_page;
    return ::madvise(first - before, before + bytes, MADV_POPULATE_WRITE) == 0;
  };
  return ask(k(layer, head)) && ask(v(layer, head));
}

void KvCache::export_pages(std::uint32_t layer, std::uint32_t head, std::span<const PageId> pages,
                           std::span<std::byte> out) const {
  TESSERA_ENSURE(out.size() == export_bytes(pages.size()));
  std::byte* next = out.data();
  for (const std::byte* const memory : {k(layer, head), v(layer, head)}) {
    for (const PageId page : pages) {
      TESSERA_ENSURE(page.value < shape_.pages);
      std::memcpy(next, memory + page.value * page_bytes(), page_bytes());
      next += page_bytes();
    }
  }
}

Result<void> KvCache::import_pages(std::uint32_t layer, std::uint32_t head, std::span<const PageId> pages,
                                   std::span<const std::byte> in) {
  const std::string subject =
      "KV pages of layer " + std::to_string(layer) + ", KV head " + std::to_string(head) + " came from another shard";
  if (!shape_.holds(layer, head)) return Error{ErrorCode::corrupt, subject + ", but this one does not hold them"};
  if (in.size() != export_bytes(pages.size())) {
    return Error{ErrorCode::corrupt, subject + " with " + std::to_string(in.size()) + " bytes; " +
                                         std::to_string(export_bytes(pages.size())) + " were expected for " +
                                         std::to_string(pages.size()) + " pages"};
  }
  if (!std::all_of(pages.begin(), pages.end(), [&](PageId page) { return page.value < shape_.pages; })) {
    return Error{ErrorCode::corrupt, subject + " with a page beyond the " + std::to_string(shape_.pages) + " here"};
  }
  const std::byte* next = in.data();
  for (std::byte* const memory : {k(layer, head), v(layer, head)}) {
    for (const PageId page : pages) {
      std::memcpy(memory + page.value * page_bytes(), next, page_bytes());
      next += page_bytes();
    }
  }
  return {};
}

std::size_t take_over_pages(KvCache& from, KvCache& to, std::span<const PageId> pages) {
  const KvShape &source = from.shape(), &target = to.shape();
  TESSERA_ENSURE(source.head_dim == target.head_dim && source.dtype == target.dtype);
  const SliceRange layers = overlap(source.layers, target.layers), heads = overlap(source.heads, target.heads);
  const bool same = source.pages == target.pages;
  const std::size_t bytes = to.page_bytes();
  std::size_t went = 0;
  for (std::uint32_t layer = layers.begin; layer < layers.end; ++layer) {
    for (std::uint32_t head = heads.begin; head < heads.end; ++head) {
      if (!from.has(layer, head)) continue;
      went += 2 * bytes * pages.size();
      if (same) {
        to.regions_[to.place(layer, head)] = std::move(from.regions_[from.place(layer, head)]);
        continue;
      }
      for (const PageId page : pages) {
        TESSERA_ENSURE(page.value < source.pages && page.value < target.pages);
        const std::size_t begin = page.value * bytes;
        std::memcpy(to.k(layer, head) + begin, from.k(layer, head) + begin, bytes);
        std::memcpy(to.v(layer, head) + begin, from.v(layer, head) + begin, bytes);
      }
    }
  }
  return went;
}

}  // namespace tessera
