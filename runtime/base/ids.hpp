// Strong types for numbers that must not be mixed up. An Id compares and hashes, and does no arithmetic.
#pragma once

#include <compare>
#include <cstdint>

namespace tessera {

/// Distinct per Tag; `value` is the raw number.
template <typename Tag, typename Rep = std::uint32_t>
struct Id {
  Rep value{};
  auto operator<=>(const Id&) const = default;
};

/// Rank of a shard within one replica, 0 .. shards-1.
using ShardRank = Id<struct ShardRankTag>;
/// A page of KV-cache positions, the same number in every layer and KV head of a worker.
using PageId = Id<struct PageIdTag>;
/// An entry of the vocabulary.
using TokenId = std::int32_t;

}  // namespace tessera
