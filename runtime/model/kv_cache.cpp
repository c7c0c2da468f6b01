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
  KvCache cache(shape, nullptr, 0);
  std::size_t bytes = cache.page_bytes();
  bool fits = true;
  for (const std::uint32_t factor : {shape.pages, shape.heads.count(), shape.layers.count(), 2u}) {
    fits = fits && !__builtin_mul_overflow(bytes, std::size_t{factor}, &bytes);
  }
  if (fits && bytes == 0) return cache;
  const std::string arithmetic =
      std::to_string(shape.layers.count()) + " layers x " + std::to_string(shape.heads.count()) + " KV heads x 2 x " +
      std::to_string(shape.pages) + " pages x " + std::to_string(cache.page_bytes()) + " bytes";
  void* memory = MAP_FAILED;
  if (fits) {
    memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  if (memory == MAP_FAILED) {
    return Error{ErrorCode::exhausted,
                 "cannot reserve the KV cache (" + arithmetic + "); use a shorter context or fewer sequences"};
  }
  cache.memory_ = static_cast<std::byte*>(memory);
  cache.bytes_ = bytes;
  return cache;
}

KvCache::KvCache(KvCache&& other) noexcept
    : shape_(other.shape_), memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

KvCache& KvCache::operator=(KvCache&& other) noexcept {
  std::swap(shape_, other.shape_);
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

KvCache::~KvCache() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

std::size_t KvCache::page_bytes() const {
  return std::size_t{kv_page_positions} * shape_.head_dim * bytes_per_element(shape_.dtype);
}

std::size_t KvCache::bytes_of(std::uint32_t pages) const {
  return std::size_t{2} * shape_.layers.count() * shape_.heads.count() * pages * page_bytes();
}

std::byte* KvCache::k(std::uint32_t layer, std::uint32_t head) const {
  TESSERA_ENSURE(shape_.holds(layer, head));
  const std::size_t place =
      std::size_t{layer - shape_.layers.begin} * shape_.heads.count() + (head - shape_.heads.begin);
  return memory_ + place * 2 * shape_.pages * page_bytes();
}

std::byte* KvCache::v(std::uint32_t layer, std::uint32_t head) const {
  return k(layer, head) + shape_.pages * page_bytes();
}

void KvCache::populate(std::size_t bytes) {
  if (memory_ == nullptr) return;
  const std::size_t pages = std::min<std::size_t>(shape_.pages, bytes / bytes_of(1));
  if (pages == 0) return;
  const auto system_page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto ask = [&](std::byte* first) {
    const std::size_t before = reinterpret_cast<std::uintptr_t>(first) % system_page;
    return ::madvise(first - before, before + pages * page_bytes(), MADV_POPULATE_WRITE) == 0;
  };
  for (std::uint32_t layer = shape_.layers.begin; layer < shape_.layers.end; ++layer) {
    for (std::uint32_t head = shape_.heads.begin; head < shape_.heads.end; ++head) {
      if (!ask(k(layer, head)) || !ask(v(layer, head))) return;  // an old kernel, or no memory: writing will tell
    }
  }
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

std::size_t copy_shared_pages(const KvCache& from, KvCache& to, std::span<const PageId> pages) {
  TESSERA_ENSURE(from.shape().head_dim == to.shape().head_dim && from.shape().dtype == to.shape().dtype);
  const SliceRange layers = overlap(from.shape().layers, to.shape().layers);
  const SliceRange heads = overlap(from.shape().heads, to.shape().heads);
  const std::size_t bytes = to.page_bytes();
  std::size_t copied = 0;
  for (std::uint32_t layer = layers.begin; layer < layers.end; ++layer) {
    for (std::uint32_t head = heads.begin; head < heads.end; ++head) {
      for (const PageId page : pages) {
        TESSERA_ENSURE(page.value < from.shape().pages && page.value < to.shape().pages);
        const std::size_t place = page.value * bytes;
        std::memcpy(to.k(layer, head) + place, from.k(layer, head) + place, bytes);
        std::memcpy(to.v(layer, head) + place, from.v(layer, head) + place, bytes);
        copied += 2 * bytes;
      }
    }
  }
  return copied;
}

}  // namespace tessera
