// A model of integers instead of kernels. Every (layer, KV head) keeps its own chain: what it writes for a position is
// a hash of the token and of everything that its pages hold for earlier positions. Every attention slice of every layer
// adds its share of a row's sum, so that a token is right only if every shard has contributed its part from right
// pages.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "cluster/control/plan.hpp"
#include "runtime/batching/conductor_core.hpp"

namespace tessera::sim {

struct HashGeometry {
  ModelShape shape;
  SliceGeometry slices;
  /// 2 layers, 8 attention slices, 4 KV heads.
  static HashGeometry small();
  std::uint32_t kv_head_of(std::uint32_t attention_slice) const {
    return attention_slice * slices.attention_heads / shape.queries_per_kv_head();
  }
};

using KvPlace = std::pair<std::uint32_t, std::uint32_t>;  ///< layer, KV head of the whole model
using KvCells = std::vector<std::uint64_t>;               ///< page * kv_page_positions + offset

class HashShard {
 public:
  HashShard() = default;
  HashShard(const HashGeometry& geometry, SliceRange layers, const ShardSlices& slices, std::uint32_t kv_pages);

  /// Whether the pages hold for each of these tokens what a shard that computes them alone has there.
  bool holds(const std::vector<PageId>& pages, std::span<const TokenId> tokens) const;
  /// What the shard adds to each of the plan's logits.
  std::vector<std::uint64_t> compute(const HashGeometry& geometry, const StepPlan& plan);
  std::map<KvPlace, KvCells>& kv() { return kv_; }
  const std::map<KvPlace, KvCells>& kv() const { return kv_; }

 private:
  SliceRange layers_;
  ShardSlices slices_;
  std::map<KvPlace, KvCells> kv_;
};

/// Of the sum over all shards. Most tokens follow from the one before alone, `last`, so that texts repeat themselves
/// and drafts are right.
LogitsResult sample(const HashGeometry& geometry, std::uint64_t sum, TokenId last, const PlannedLogits& wanted);

struct HashReference {
  std::vector<TokenId> tokens;
  std::vector<float> log_probabilities, scores;
  FinishReason finished = FinishReason::length;
};
/// The stream, computed alone on one shard.
HashReference reference(const HashGeometry& geometry, const SequenceSpec& spec);

}  // namespace tessera::sim
