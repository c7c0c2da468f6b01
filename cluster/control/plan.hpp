// EpochPlan: where every shard of one replica lies, in one epoch. The coordinator makes it, every participant gets the
// same copy, and nothing about it changes while the epoch lives.
//
//   stages      [ layers 0..11: 2 shards ][ layers 12..23: 3 shards ]        rank = stage by stage: 0 1 | 2 3 4
//   root        first rank of the last stage (here 2): it has the logits, so it samples, and the conductor lives there
//   participants  rank 0 … rank 4, donor, donor …
//
// A donor held KV pages in the previous epoch and has no shard in this one: it only sends its pages and leaves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/control/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};
/// "host:port"
std::string to_string(const Endpoint& endpoint);
/// "host:port" or "[::1]:port".
Result<Endpoint> parse_endpoint(const std::string& text);

/// Whether a replica computes guessed tokens ahead. No stream has other tokens for it.
enum class Speculation : std::uint8_t {
  automatic,  ///< where it is measured to be faster (runtime/batching/speculation.hpp)
  off,
};
/// "auto" or "off".
const char* to_string(Speculation speculation);

/// A run of layers and how its slices are dealt to the shards of that stage, in rank order.
struct StagePlan {
  SliceRange layers;
  std::vector<ShardSlices> shards;
};

/// A node that takes part in an epoch: with a shard (a rank), or as a donor.
struct Participant {
  NodeId node;
  std::string name;
  Endpoint data;  ///< where its data plane listens
};

/// KV pages that a participant holds from the previous epoch.
struct KvHolding {
  ParticipantIndex participant;
  SliceRange layers;
  SliceRange kv_heads;  ///< of the whole model
};

struct EpochPlan {
  Term term;
  ReplicaId replica;
  Epoch epoch;
  std::string deployment;
  std::string uri;         ///< of the checkpoint
  std::string content_id;  ///< that every member's file must have
  std::string profile;     ///< numeric profile, "cpu-1"
  std::uint32_t kv_pages = 0;
  std::vector<StagePlan> stages;  ///< together all layers, in order; each has all slices of its layers
  std::vector<Participant> participants;
  Epoch previous;                      ///< the epoch whose pages may be handed over; 0: none
  std::vector<KvHolding> previous_kv;  ///< empty when there is nothing to hand over
  /// Nodes whose compute lease a step needs, ascending: the lowest-numbered node shared with each other replica.
  std::vector<NodeId> lease_nodes;
  /// Some copy of the checkpoint was found damaged: every member compares its bytes with the checksums before it says
  /// that it is prepared. Otherwise that happens in the background.
  bool check_first = false;
  Speculation speculation = Speculation::automatic;

  std::uint32_t ranks() const;
  /// Stage and rank inside the stage of a rank.
  struct Place {
    std::uint32_t stage, rank;
  };
  Place place_of(std::uint32_t rank) const;
  std::uint32_t root() const;  ///< a rank
  NodeId root_node() const { return participants[root()].node; }
  /// Participant index of a node, or nothing.
  std::optional<ParticipantIndex> find(NodeId node) const;
};

/// How much longer a preparation may take that reads every byte (check_first).
inline constexpr int check_first_patience = 10;

/// What only one participant may know: the key that it shares with each other participant (its own entry is unused).
struct EpochKeys {
  std::vector<PairKey> keys;
};

/// Every invariant above, and that stages and slices tile the model; for plans that come from outside.
Result<void> validate(const EpochPlan& plan, const ModelShape& shape, const SliceGeometry& geometry);

}  // namespace tessera
