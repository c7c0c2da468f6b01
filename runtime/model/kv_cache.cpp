#include "runtime/model/kv_cache.hpp"

#include <string>
#include <sys/mman.h>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

Result<KvCache> KvCache::create(const KvShape& shape) {
  KvCache cache(shape, nullptr, 0);
  std::size_t bytes = cache.page_bytes();
  bool fits = true;
  for (const std::uint32_t factor : {shape.pages, shape.heads, shape.layers, 2u}) {
    fits = fits && !__builtin_mul_overflow(bytes, std::size_t{factor}, &bytes);
  }
  if (fits && bytes == 0) return cache;
  const std::string arithmetic = std::to_string(shape.layers) + " layers x " + std::to_string(shape.heads) +
                                 " KV heads x 2 x " + std::to_string(shape.pages) + " pages x " +
                                 std::to_string(cache.page_bytes()) + " bytes";
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

std::byte* KvCache::k(std::uint32_t layer, std::uint32_t head) const {
  TESSERA_ENSURE(layer < shape_.layers && head < shape_.heads);
  return memory_ + (std::size_t{layer} * shape_.heads + head) * 2 * shape_.pages * page_bytes();
}

std::byte* KvCache::v(std::uint32_t layer, std::uint32_t head) const {
  return k(layer, head) + shape_.pages * page_bytes();
}

}  // namespace tessera
