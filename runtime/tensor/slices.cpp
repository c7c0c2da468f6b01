#include "runtime/tensor/slices.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace tessera {

namespace {

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

/// Cuts [0, slices) at the rounded cumulative shares.
SliceRange cut(std::uint32_t slices, double before, double until) {
  return {static_cast<std::uint32_t>(std::llround(before * slices)),
          static_cast<std::uint32_t>(std::llround(until * slices))};
}

Result<void> check_count(const SliceGeometry& geometry, std::size_t shards) {
  if (shards >= 1 && shards <= geometry.slice_count()) return {};
  return Error{ErrorCode::invalid_argument, "cannot cut this model into " + std::to_string(shards) +
                                                " shards: its slice count is " +
                                                std::to_string(geometry.slice_count()) + ", so use 1 to " +
                                                std::to_string(geometry.slice_count()) + " shards"};
}

/// Runs of one kind must follow each other from 0 to `slices`.
Result<void> check_tiling(const std::vector<ShardSlices>& shards, SliceRange ShardSlices::*kind, std::uint32_t slices,
                          const char* name) {
  std::uint32_t next = 0;
  for (std::size_t rank = 0; rank < shards.size(); ++rank) {
    const SliceRange run = shards[rank].*kind;
    if (run.begin != next || run.end < run.begin || run.end > slices) {
      return Error{ErrorCode::corrupt, "shard " + std::to_string(rank) + " has the " + name + " slices " +
                                           std::to_string(run.begin) + " to " + std::to_string(run.end) +
                                           "; expected a run from " + std::to_string(next) + " that ends at " +
                                           std::to_string(slices) + " or before: the plan was made for another model"};
    }
    next = run.end;
  }
  if (next == slices) return {};
  return Error{ErrorCode::corrupt, std::string("the shards hold only ") + std::to_string(next) + " of the model's " +
                                       std::to_string(slices) + " " + name + " slices"};
}

}  // namespace

SliceRange overlap(SliceRange a, SliceRange b) {
  const SliceRange both{std::max(a.begin, b.begin), std::min(a.end, b.end)};
  return both.begin < both.end ? both : SliceRange{};
}

std::uint32_t SliceGeometry::slice_count() const { return std::max({attention_slices, ffn_slices, vocab_slices}); }

FfnSlices FfnSlices::of(std::uint32_t ffn_dim) {
  FfnSlices ffn;
  ffn.columns = std::max(32u, std::bit_ceil(divide_up(ffn_dim, 64)));
  ffn.count = divide_up(ffn_dim, ffn.columns);
  return ffn;
}

SliceRange same_share(SliceRange run, std::uint32_t of, std::uint32_t slices) {
  const auto at = [&](std::uint32_t slice) { return static_cast<std::uint32_t>(std::uint64_t{slice} * slices / of); };
  return {at(run.begin), at(run.end)};
}

SliceGeometry SliceGeometry::of(const ModelShape& shape) {
  SliceGeometry geometry;
  // The fewest heads whose width is a multiple of 32: 32 / gcd(head_dim, 32).
  geometry.attention_heads = std::min(shape.heads, 32u / std::gcd(shape.head_dim, 32u));
  geometry.attention_slices = divide_up(shape.heads, geometry.attention_heads);
  const FfnSlices ffn = FfnSlices::of(shape.ffn_dim);
  geometry.ffn_columns = ffn.columns;
  geometry.ffn_slices = ffn.count;
  geometry.vocab_rows = 1024;
  geometry.vocab_slices = divide_up(shape.vocab_size, geometry.vocab_rows);
  return geometry;
}

SliceRange ShardSlices::kv_heads(const ModelShape& shape, const SliceGeometry& geometry) const {
  if (attention.empty()) return {};
  const std::uint32_t group = shape.queries_per_kv_head();
  const std::uint32_t first_head = attention.begin * geometry.attention_heads;
  const std::uint32_t last_head = std::min(shape.heads, attention.end * geometry.attention_heads) - 1;
  return {first_head / group, last_head / group + 1};
}

SliceRange ShardSlices::dense_ffn(const ModelShape& shape, const SliceGeometry& geometry) const {
  if (shape.plan.dense_layers.empty()) return {};
  return same_share(ffn, geometry.ffn_slices, FfnSlices::of(shape.plan.dense_ffn_dim).count);
}

ShardPlan ShardPlan::with_ffn(std::uint32_t of, std::uint32_t slices) const {
  ShardPlan plan = *this;
  for (ShardSlices& shard : plan.shards_) shard.ffn = same_share(shard.ffn, of, slices);
  return plan;
}

Result<ShardPlan> ShardPlan::even(const SliceGeometry& geometry, std::uint32_t shards) {
  TESSERA_CHECK(check_count(geometry, shards));
  const auto share = [shards](std::uint32_t slices, std::uint32_t rank) {
    const auto at = [&](std::uint32_t r) { return static_cast<std::uint32_t>(std::uint64_t{slices} * r / shards); };
    return SliceRange{at(rank), at(rank + 1)};
  };
  ShardPlan plan;
  for (std::uint32_t rank = 0; rank < shards; ++rank) {
    plan.shards_.push_back(
        {share(geometry.attention_slices, rank), share(geometry.ffn_slices, rank), share(geometry.vocab_slices, rank)});
  }
  return plan;
}

Result<ShardPlan> ShardPlan::weighted(const SliceGeometry& geometry, std::span<const double> weights) {
  TESSERA_CHECK(check_count(geometry, weights.size()));
  double total = 0;
  for (const double weight : weights) {
    if (!std::isfinite(weight) || weight <= 0) {
      return Error{ErrorCode::invalid_argument, "shard weights must be finite and positive"};
    }
    total += weight;
  }
  ShardPlan plan;
  double sum = 0;
  for (std::size_t rank = 0; rank < weights.size(); ++rank) {
    const double before = sum / total;
    sum += weights[rank];
    const double until = rank + 1 == weights.size() ? 1.0 : sum / total;
    plan.shards_.push_back({cut(geometry.attention_slices, before, until), cut(geometry.ffn_slices, before, until),
                            cut(geometry.vocab_slices, before, until)});
  }
  return plan;
}

Result<ShardPlan> ShardPlan::from(const SliceGeometry& geometry, std::vector<ShardSlices> shards) {
  TESSERA_CHECK(check_count(geometry, shards.size()));
  TESSERA_CHECK(check_tiling(shards, &ShardSlices::attention, geometry.attention_slices, "attention"));
  TESSERA_CHECK(check_tiling(shards, &ShardSlices::ffn, geometry.ffn_slices, "FFN"));
  TESSERA_CHECK(check_tiling(shards, &ShardSlices::vocab, geometry.vocab_slices, "vocabulary"));
  ShardPlan plan;
  plan.shards_ = std::move(shards);
  return plan;
}

}  // namespace tessera
