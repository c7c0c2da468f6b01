// PieceTable and PairTable: hash tables from the text of a piece, or from a pair of ids, to an id. Open addressing with
// linear probing, a few bytes an entry.
//
// Keys come from outside, and the hash functions are known: keys that were chosen to collide are refused by a maximum
// of probes instead of costing quadratic time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

namespace limits {
/// Slots that one key may look at. Half-full tables of honest keys need a few dozen.
inline constexpr std::size_t table_probes_max = 1024;
}  // namespace limits

/// A hash of any bytes; the same on every machine.
std::uint64_t hash_text(std::string_view text);

/// Immutable after build(); any thread. Keeps a view of the pieces, which must outlive it.
class PieceTable {
 public:
  PieceTable() = default;
  /// Of equal pieces the lowest usable id counts; empty pieces are left out. Errors: corrupt (too many collisions).
  static Result<PieceTable> build(std::span<const std::string> pieces, const std::vector<bool>& usable,
                                  const std::string& where);

  /// The id whose piece is `text`, or -1.
  TokenId find(std::string_view text) const;
  /// Bytes of the longest piece.
  std::size_t longest() const { return longest_; }

 private:
  struct Slot {
    std::uint32_t tag = 0;  // the other half of the hash
    TokenId id = -1;        // -1: empty
  };

  std::span<const std::string> pieces_;
  std::vector<Slot> slots_;  // a power of two, or none
  std::size_t longest_ = 0;
};

/// What joining two ids gives.
struct PairMerge {
  std::uint32_t rank = UINT32_MAX;
  TokenId id = -1;  ///< -1: they cannot be joined
};

/// Immutable after building; any thread.
class PairTable {
 public:
  PairTable() = default;
  explicit PairTable(std::size_t pairs);

  /// Of equal pairs the first one counts. False: too many collisions.
  bool add(TokenId left, TokenId right, PairMerge merge);
  PairMerge find(TokenId left, TokenId right) const;

 private:
  struct Slot {
    std::uint64_t key = UINT64_MAX;
    PairMerge merge;
  };

  std::vector<Slot> slots_;  // a power of two, or none
};

}  // namespace tessera
