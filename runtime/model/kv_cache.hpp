// KvCache: the keys and values of one shard, in pages of token positions.
//
// A page number means the same positions in every layer and KV head; for one (layer, KV head) its pages lie one after
// the other:
//
//   K of (layer, head): | page 0: [kv_page_positions][head_dim] | page 1 | …      then V of the same, then the next
//   head.
//
// Layers and heads are always named by their number in the whole model, so that the caches of two shards, or of two
// epochs, speak of the same thing: pages go from one to the other for every (layer, head) that both hold. Each (layer,
// head) is memory of its own, so that a shard which goes on with it under another plan takes it over instead of
// copying.
//
// Memory is reserved for the whole capacity and given by the system when a page is first written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/batching/page_allocator.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

struct KvShape {
  SliceRange layers;  ///< of the whole model
  SliceRange heads;   ///< KV heads of the whole model; may be empty
  std::uint32_t head_dim = 0;
  KvDType dtype = KvDType::f32;
  std::uint32_t pages = 0;  ///< capacity

  bool holds(std::uint32_t layer, std::uint32_t head) const { return layers.contains(layer) && heads.contains(head); }
};

/// Owned by one shard. Different (layer, head, page) may be written by different threads at once.
class KvCache {
 public:
  /// `exhausted` when the machine cannot reserve the memory; the message has the arithmetic.
  static Result<KvCache> create(const KvShape& shape);

  const KvShape& shape() const { return shape_; }
  /// That the shape holds (layer, head), and that no other cache took its memory over.
  bool has(std::uint32_t layer, std::uint32_t head) const;
  std::size_t page_bytes() const;  ///< of K or V of one (layer, head): the stride between pages
  std::size_t bytes() const { return bytes_of(shape_.pages); }
  /// What `pages` pages take in all layers and heads: the memory that is really touched when so many are in use.
  std::size_t bytes_of(std::uint32_t pages) const;
  /// First page of K, of V. The cache has (layer, head).
  std::byte* k(std::uint32_t layer, std::uint32_t head) const;
  std::byte* v(std::uint32_t layer, std::uint32_t head) const;

  /// Bytes of one (layer, head) of `pages` pages as they travel: K of every page, then V of every page.
  std::size_t export_bytes(std::size_t pages) const { return 2 * pages * page_bytes(); }
  /// Asks the system for the memory of the first `pages` pages of (layer, head), so that the first writes need not wait
  /// for it one 4 KiB page after the other. False where the system cannot give it; writing will tell then. Before the
  /// cache is shared with other threads, or on its owner's.
  bool populate(std::uint32_t layer, std::uint32_t head, std::uint32_t pages);

  /// Copies them out. The cache has (layer, head) and holds all pages; `out` has export_bytes().
  void export_pages(std::uint32_t layer, std::uint32_t head, std::span<const PageId> pages,
                    std::span<std::byte> out) const;
  /// Takes what another shard's export_pages gave. Bytes and numbers come from outside: `corrupt`, and nothing changed,
  /// when the cache does not hold the place or the size is wrong.
  Result<void> import_pages(std::uint32_t layer, std::uint32_t head, std::span<const PageId> pages,
                            std::span<const std::byte> in);

 private:
  /// K and V of one (layer, head); nothing once another cache took it over.
  class Region {
   public:
    Region() = default;
    Region(std::byte* memory, std::size_t bytes) : memory_(memory), bytes_(bytes) {}
    Region(Region&& other) noexcept;
    Region& operator=(Region&& other) noexcept;
    ~Region();
    std::byte* memory() const { return memory_; }

   private:
    std::byte* memory_ = nullptr;
    std::size_t bytes_ = 0;
  };
  friend std::size_t take_over_pages(KvCache& from, KvCache& to, std::span<const PageId> pages);

  explicit KvCache(const KvShape& shape) : shape_(shape) {}
  std::size_t place(std::uint32_t layer, std::uint32_t head) const;
  KvShape shape_;
  std::vector<Region> regions_;  ///< layer by layer
};

/// The pages of every (layer, head) that both hold go to `to`, inside this process (old epoch's shard to new epoch's).
/// Where both have the same capacity `to` takes the memory over, and `from` no longer has it; otherwise the pages are
/// copied. Both belong to the same model, have all pages, and nobody uses them meanwhile; what `from` gave away before
/// stays where it is. Returns the bytes of the pages that went over.
std::size_t take_over_pages(KvCache& from, KvCache& to, std::span<const PageId> pages);

}  // namespace tessera
