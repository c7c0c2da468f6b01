#include "tests/sim/hash_shard.hpp"

#include <algorithm>

namespace tessera::sim {

namespace {

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  return x ^ (x >> 29);
}

std::size_t slot(const std::vector<PageId>& pages, std::uint32_t position, const KvCells& cells) {
  const std::size_t page = pages[position / kv_page_positions].value;
  return (page * kv_page_positions + position % kv_page_positions) % cells.size();
}

}  // namespace

HashGeometry HashGeometry::small() {
  HashGeometry geometry;
  geometry.shape = {"llama", 64, 2, 8, 4, 32, 128, 1024, 128, 1e-5f, 10000.0, true, {}};
  geometry.slices = SliceGeometry::of(geometry.shape);
  return geometry;
}

HashShard::HashShard(const HashGeometry& geometry, SliceRange layers, const ShardSlices& slices, std::uint32_t kv_pages)
    : layers_(layers), slices_(slices) {
  const SliceRange heads = slices.kv_heads(geometry.shape, geometry.slices);
  for (std::uint32_t layer = layers.begin; layer < layers.end; ++layer)
    for (std::uint32_t head = heads.begin; head < heads.end; ++head)
      kv_[{layer, head}] = KvCells(std::size_t{kv_pages} * kv_page_positions);
}

bool HashShard::holds(const std::vector<PageId>& pages, std::span<const TokenId> tokens) const {
  for (const auto& [place, cells] : kv_) {
    std::uint64_t before = mix(place.first, place.second);
    for (std::uint32_t position = 0; position < tokens.size(); ++position) {
      const std::uint64_t expected = mix(before, static_cast<std::uint64_t>(tokens[position]));
      if (cells[slot(pages, position, cells)] != expected) return false;
      before = mix(before, expected);
    }
  }
  return true;
}

std::vector<std::uint64_t> HashShard::compute(const HashGeometry& geometry, const StepPlan& plan) {
  std::vector<std::uint64_t> sums(plan.logits.size());
  for (auto& entry : kv_) {
    const auto& [layer, head] = entry.first;
    std::vector<std::uint64_t>& cells = entry.second;
    std::vector<std::uint64_t> hidden(plan.rows.size());
    std::uint64_t state = 0;  // of everything before `next` in the pages of the row before
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < plan.rows.size(); ++i) {
      const PlannedRow& row = plan.rows[i];
      const std::vector<PageId>& pages = plan.sequences[row.sequence].pages;
      if (i == 0 || plan.rows[i - 1].sequence != row.sequence || row.position < next) {
        state = mix(layer, head);
        next = 0;
      }
      for (; next < row.position; ++next) state = mix(state, cells[slot(pages, next, cells)]);
      hidden[i] = cells[slot(pages, row.position, cells)] = mix(state, static_cast<std::uint64_t>(row.token));
    }
    for (std::uint32_t slice = slices_.attention.begin; slice < slices_.attention.end; ++slice) {
      if (geometry.kv_head_of(slice) != head) continue;
      for (std::size_t i = 0; i < plan.logits.size(); ++i) sums[i] += mix(hidden[plan.logits[i].row], slice);
    }
  }
  return sums;
}

LogitsResult sample(const HashGeometry& geometry, std::uint64_t sum, TokenId last, const PlannedLogits& wanted) {
  const std::uint64_t draw = mix(sum, wanted.position);
  if (wanted.scores) return {0, static_cast<float>(mix(draw, static_cast<std::uint64_t>(wanted.scored_token)) >> 44)};
  const bool copies = (draw >> 32) % 8 != 0;
  const std::uint64_t token = copies ? mix(7, static_cast<std::uint64_t>(last)) % 16 : draw % geometry.shape.vocab_size;
  return {static_cast<TokenId>(token), static_cast<float>(draw >> 44)};
}

HashReference reference(const HashGeometry& geometry, const SequenceSpec& spec) {
  HashReference result;
  const std::uint32_t pages = pages_for(geometry.shape.context_length);
  const ShardSlices all{{0, geometry.slices.attention_slices}, {}, {}};
  HashShard shard(geometry, {0, geometry.shape.layers}, all, pages);
  StepPlan plan;
  plan.sequences.push_back({spec.key, {}});
  for (std::uint32_t page = 0; page < pages; ++page) plan.sequences[0].pages.push_back(PageId{page});
  const auto feed = [&](TokenId token, std::uint32_t position, const PlannedLogits& wanted) {
    plan.rows = {{token, position, 0, true}};
    plan.logits = {wanted};
    return sample(geometry, shard.compute(geometry, plan)[0], token, wanted);
  };
  LogitsResult next;
  for (std::uint32_t i = 0; i < spec.prompt.size(); ++i) {
    const bool scores = i + 1 < spec.prompt.size();
    next = feed(spec.prompt[i], i, {0, 0, scores, scores ? spec.prompt[i + 1] : 0, i + 1});
    if (scores && spec.score_prompt) result.scores.push_back(next.log_probability);
  }
  // The loop of generate() in runtime/model/generation.cpp.
  for (auto position = static_cast<std::uint32_t>(spec.prompt.size()); result.tokens.size() < spec.tokens_max;
       ++position) {
    result.tokens.push_back(next.token);
    result.log_probabilities.push_back(next.log_probability);
    if (std::find(spec.end_tokens.begin(), spec.end_tokens.end(), next.token) != spec.end_tokens.end()) {
      result.finished = FinishReason::end_token;
      break;
    }
    if (position >= geometry.shape.context_length || result.tokens.size() == spec.tokens_max) break;
    next = feed(next.token, position, {0, 0, false, 0, position + 1});
  }
  return result;
}

}  // namespace tessera::sim
