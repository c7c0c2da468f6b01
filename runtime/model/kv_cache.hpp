// KvCache: the keys and values of one shard, in pages of token positions.
//
// A page number means the same positions in every layer and KV head; for one (layer, KV head) its pages lie one after
// the other:
//
//   K of (layer, head): | page 0: [kv_page_positions][head_dim] | page 1 | …      then V of the same, then the next
//   head.
//
// Memory is reserved for the whole capacity and given by the system when a page is first written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/base/result.hpp"
#include "runtime/batching/page_allocator.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

struct KvShape {
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;  ///< KV heads of this shard; 0 is allowed
  std::uint32_t head_dim = 0;
  KvDType dtype = KvDType::f32;
  std::uint32_t pages = 0;  ///< capacity
};

/// Owned by one shard. Different (layer, head, page) may be written by different threads at once.
class KvCache {
 public:
  /// `exhausted` when the machine cannot reserve the memory; the message has the arithmetic.
  static Result<KvCache> create(const KvShape& shape);
  KvCache(KvCache&& other) noexcept;
  KvCache& operator=(KvCache&& other) noexcept;
  ~KvCache();

  const KvShape& shape() const { return shape_; }
  std::size_t page_bytes() const;  ///< of one (layer, head): the stride between pages
  std::byte* k(std::uint32_t layer, std::uint32_t head) const;
  std::byte* v(std::uint32_t layer, std::uint32_t head) const;

 private:
  KvCache(const KvShape& shape, std::byte* memory, std::size_t bytes) : shape_(shape), memory_(memory), bytes_(bytes) {}
  KvShape shape_;
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace tessera
