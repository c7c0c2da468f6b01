// KvTransfer: one participant's part in handing the KV pages of an epoch to the next one. What stays on the node goes
// over from the old shard's cache to the new one's, as memory; what leaves it is cut into pieces, and what comes is
// taken; nothing in it waits, so that whoever drives it can send a piece, take a piece, and so on, and no two nodes
// wait for each other.
//
//   begin(old cache, pages) ─► what stays; pieces in line
//   next_piece() …  send each      receive() …  as they come, also before begin()      complete()
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "cluster/exchange/commands.hpp"
#include "cluster/executor/kv_moves.hpp"
#include "runtime/model/kv_cache.hpp"

namespace tessera {

/// Payload of one piece, at most (one page of all heads of one layer may be larger): small enough to stay in a cache
/// and to be sealed by one end while the other opens the one before.
inline constexpr std::size_t kv_piece_bytes_max = 256u << 10;

/// Confined to the executor's thread; the caches outlive it.
class KvTransfer {
 public:
  /// `to`: the new shard's cache; null for a donor.
  static Result<std::unique_ptr<KvTransfer>> create(const EpochPlan& plan, ParticipantIndex self,
                                                    const ModelShape& shape, const SliceGeometry& geometry,
                                                    KvCache* to);

  /// `corrupt` when the piece is not one that `from` should send here, or too many came.
  Result<void> receive(ParticipantIndex from, const KvPagesCommand& piece);

  /// `old`: the cache of the previous epoch's shard on this node, which never computes again; null when there is none.
  /// `pages`: those in use. `unavailable` when the plan expects this node to hold what it does not (also what an
  /// earlier transfer took over), `corrupt` for pages that no cache has.
  Result<void> begin(KvCache* old, std::vector<PageId> pages);

  struct Piece {
    ParticipantIndex to;
    KvPagesCommand command;  ///< payload points into this object, until the next call
  };
  bool has_piece() const { return !line_.empty(); }
  Piece next_piece();

  bool begun() const { return begun_; }
  bool received_all() const { return begun_ && received_bytes_ == expected_bytes_; }
  bool complete() const { return received_all() && line_.empty(); }
  std::uint64_t received_bytes() const { return received_bytes_; }

 private:
  struct Waiting {
    ParticipantIndex to;
    SliceRange layers, kv_heads;
    std::uint32_t first_page, pages;  ///< into pages_
  };
  KvTransfer(ParticipantIndex self, KvCache* to, std::vector<KvMove> moves)
      : self_(self), to_(to), moves_(std::move(moves)) {}
  void cut(const KvMove& move, std::size_t page_bytes);
  bool expected(ParticipantIndex from, std::uint32_t layer, std::uint32_t head) const;
  /// Where the old epoch's pages of (layer, head) are now.
  const KvCache& source(std::uint32_t layer, std::uint32_t head) const;

  ParticipantIndex self_;
  KvCache* to_;
  std::vector<KvMove> moves_;
  bool begun_ = false;
  const KvCache* old_ = nullptr;
  std::vector<PageId> pages_;
  std::deque<Waiting> line_;
  std::vector<std::byte> payload_;
  std::uint64_t received_bytes_ = 0;
  std::uint64_t expected_bytes_ = 0;
};

}  // namespace tessera
