// The numbers by which the cluster tells its parts, and the ages of its decisions, apart.
//
//   term  ── the coordinator's reign; raised by compare-and-set in the store at every start
//   epoch ── the number of a replica's plan; rises with every plan, over all terms
//   conductor incarnation ── one life of one replica's conductor
//   node incarnation ── one life of one node's process
//
// Whoever holds a higher number wins; messages with a lower one are refused (worker_fence.hpp).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/ids.hpp"

namespace tessera {

/// A node, by the number that the store gave its name. Never reused for another name.
using NodeId = Id<struct NodeIdTag>;
/// One process of a node: drawn at random when it starts.
using NodeIncarnation = Id<struct NodeIncarnationTag, std::uint64_t>;
using Term = Id<struct TermTag, std::uint64_t>;
using Epoch = Id<struct EpochTag, std::uint64_t>;
/// One full set of shards of one deployment. Never reused.
using ReplicaId = Id<struct ReplicaIdTag, std::uint64_t>;
using ConductorIncarnation = Id<struct ConductorIncarnationTag, std::uint64_t>;
using JobId = Id<struct JobIdTag, std::uint64_t>;
/// Place of a node in an epoch's list of participants; below the number of ranks it is the rank.
using ParticipantIndex = Id<struct ParticipantIndexTag>;

/// A stream, named by its frontend: 128 random bits, so that no two frontends can meet.
struct StreamId {
  std::uint64_t high = 0, low = 0;
  auto operator<=>(const StreamId&) const = default;
};
/// 32 hexadecimal digits.
std::string to_string(const StreamId& id);
std::optional<StreamId> parse_stream_id(std::string_view text);

/// 256 secret bits that two participants of one epoch share.
using PairKey = std::array<std::uint8_t, 32>;

}  // namespace tessera

template <typename Tag, typename Rep>
struct std::hash<tessera::Id<Tag, Rep>> {
  std::size_t operator()(const tessera::Id<Tag, Rep>& id) const { return std::hash<Rep>()(id.value); }
};
template <>
struct std::hash<tessera::StreamId> {
  std::size_t operator()(const tessera::StreamId& id) const { return static_cast<std::size_t>(id.high ^ id.low); }
};
