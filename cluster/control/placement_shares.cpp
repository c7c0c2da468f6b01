#include "cluster/control/placement_shares.hpp"

#include <algorithm>

#include "runtime/base/ensure.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera {

namespace {

/// The caps come from a straight line between the memory of no slice and of all; steps are corrected in rounds.
constexpr int correction_rounds_max = 32;
constexpr double correction = 0.95;
/// A share that rounds to no slice.
constexpr double share_min = 1e-9;

ShardMemoryOptions options_for(const PlacementTask& task, std::uint32_t threads) {
  ShardMemoryOptions options;
  options.kv_pages = task.request.kv_pages;
  options.page_positions = kv_page_positions;
  options.rows_max = step_rows_max(task.facts.shape);
  options.threads = std::max(1u, threads);
  return options;
}

/// Memory of a shard that has its part in the stage's layers, but no slice.
std::uint64_t empty_shard_bytes(const PlacementTask& task, SliceRange layers, std::uint32_t threads) {
  const SliceGeometry& geometry = task.facts.geometry;
  const ShardSlices all{{0, geometry.attention_slices}, {0, geometry.ffn_slices}, {0, geometry.vocab_slices}};
  const ShardSlices none{{geometry.attention_slices, geometry.attention_slices},
                         {geometry.ffn_slices, geometry.ffn_slices},
                         {geometry.vocab_slices, geometry.vocab_slices}};
  auto plan = ShardPlan::from(geometry, {all, none});
  if (!plan) return 0;  // a model of one slice is never shared
  return task.memory(task.facts, {layers, std::move(*plan), ShardRank{1}}, options_for(task, threads)).total();
}

bool holds_nothing(const ShardSlices& slices) {
  return slices.attention.empty() && slices.ffn.empty() && slices.vocab.empty();
}

}  // namespace

std::optional<std::vector<double>> capped_shares(std::span<const double> speeds, std::span<const double> caps) {
  std::vector<double> shares(speeds.size(), 0);
  std::vector<bool> capped(speeds.size(), false);
  for (;;) {
    double rest = 1, speed = 0;
    for (std::size_t i = 0; i < speeds.size(); ++i) capped[i] ? rest -= caps[i] : speed += speeds[i];
    if (speed <= 0) {
      if (rest > 1e-6) return std::nullopt;
      return shares;
    }
    bool changed = false;
    for (std::size_t i = 0; i < speeds.size(); ++i) {
      if (capped[i]) continue;
      shares[i] = rest * speeds[i] / speed;
      if (shares[i] <= caps[i]) continue;
      shares[i] = caps[i];
      capped[i] = changed = true;
    }
    if (!changed) return shares;
  }
}

ShardMemory whole_shard_memory(const PlacementTask& task, SliceRange layers, std::uint32_t threads) {
  auto plan = ShardPlan::even(task.facts.geometry, 1);
  TESSERA_ENSURE(bool(plan));
  return task.memory(task.facts, {layers, std::move(*plan), ShardRank{0}}, options_for(task, threads));
}

StageDeal deal_stage(const PlacementTask& task, SliceRange layers, std::span<const PlacementWorker> group) {
  StageDeal deal;
  std::vector<double> speeds, caps;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const PlacementWorker& worker = group[i];
    const double none = static_cast<double>(empty_shard_bytes(task, layers, worker.threads));
    const double all = static_cast<double>(whole_shard_memory(task, layers, worker.threads).total());
    const double left = static_cast<double>(worker.memory_left);
    if (none > left) deal.useless.push_back(i);
    speeds.push_back(worker.speed);
    caps.push_back(all <= left ? 1.0 : all <= none ? share_min : std::max(share_min, (left - none) / (all - none)));
  }
  if (!deal.useless.empty()) return deal;
  for (int round = 0; round < correction_rounds_max; ++round) {
    const auto shares = capped_shares(speeds, caps);
    if (!shares) return deal;
    const auto plan = ShardPlan::weighted(task.facts.geometry, *shares);
    if (!plan) return deal;
    bool fits = true;
    deal.shards.clear();
    for (std::uint32_t i = 0; i < group.size(); ++i) {
      const ShardRank rank{i};
      const ShardMemory memory = task.memory(task.facts, {layers, *plan, rank}, options_for(task, group[i].threads));
      deal.shards.push_back(plan->of(rank));
      if (memory.total() <= group[i].memory_left) continue;
      fits = false;
      caps[i] = std::max(share_min, std::min(caps[i], (*shares)[i]) * correction);
    }
    if (!fits) continue;
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (holds_nothing(deal.shards[i])) deal.useless.push_back(i);
    }
    deal.fits = deal.useless.empty();
    return deal;
  }
  return deal;
}

}  // namespace tessera
