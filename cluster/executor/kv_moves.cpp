#include "cluster/executor/kv_moves.hpp"

#include <optional>
#include <string>

namespace tessera {

namespace {

std::optional<ParticipantIndex> source_of(const EpochPlan& plan, ParticipantIndex receiver, std::uint32_t layer,
                                          std::uint32_t head) {
  std::optional<ParticipantIndex> lowest;
  for (const KvHolding& holding : plan.previous_kv) {
    if (!holding.layers.contains(layer) || !holding.kv_heads.contains(head)) continue;
    if (holding.participant == receiver) return receiver;
    if (!lowest || holding.participant < *lowest) lowest = holding.participant;
  }
  return lowest;
}

/// The runs of heads of one layer that come from the same participant.
Result<std::vector<KvMove>> layer_moves(const EpochPlan& plan, ParticipantIndex receiver, std::uint32_t layer,
                                        SliceRange heads) {
  std::vector<KvMove> moves;
  for (std::uint32_t head = heads.begin; head < heads.end; ++head) {
    const auto source = source_of(plan, receiver, layer, head);
    if (!source) {
      return Error{ErrorCode::unavailable,
                   "epoch " + std::to_string(plan.epoch.value) + " of replica " + std::to_string(plan.replica.value) +
                       ": nobody holds the KV pages of layer " + std::to_string(layer) + ", head " +
                       std::to_string(head) + "; activate the epoch without a hand-over"};
    }
    if (!moves.empty() && moves.back().from == *source) {
      ++moves.back().kv_heads.end;
    } else {
      moves.push_back({*source, receiver, {layer, layer + 1}, {head, head + 1}});
    }
  }
  return moves;
}

}  // namespace

Result<std::vector<KvMove>> kv_moves(const EpochPlan& plan, const ModelShape& shape, const SliceGeometry& geometry) {
  std::vector<KvMove> all;
  std::uint32_t rank = 0;
  for (const StagePlan& stage : plan.stages) {
    for (const ShardSlices& slices : stage.shards) {
      const ParticipantIndex receiver{rank++};
      const SliceRange heads = slices.kv_heads(shape, geometry);
      std::vector<KvMove> previous;  // of the layer before, which end at the current one
      for (std::uint32_t layer = stage.layers.begin; layer < stage.layers.end; ++layer) {
        TESSERA_TRY(auto moves, layer_moves(plan, receiver, layer, heads));
        bool same = previous.size() == moves.size();
        for (std::size_t i = 0; same && i < moves.size(); ++i)
          same = previous[i].from == moves[i].from && previous[i].kv_heads == moves[i].kv_heads;
        if (same) {
          for (KvMove& move : previous) move.layers.end = layer + 1;
        } else {
          all.insert(all.end(), previous.begin(), previous.end());
          previous = std::move(moves);
        }
      }
      all.insert(all.end(), previous.begin(), previous.end());
    }
  }
  return all;
}

}  // namespace tessera
