#include "runtime/model/partial_sums.hpp"

#include "runtime/tensor/shard_memory.hpp"

namespace tessera {

namespace {

/// The tag of the second phase by token rows.
ExchangeTag finished_rows(ExchangeTag tag) {
  tag.op = tag.op == ExchangeOp::attention_out ? ExchangeOp::attention_out_rows : ExchangeOp::ffn_down_rows;
  return tag;
}

}  // namespace

PartialSums::PartialSums(const ShardPlan& stage, std::uint32_t slices, SliceRange ShardSlices::*kind,
                         Collective& collective)
    : collective_(collective),
      rank_(collective.rank().value),
      own_(schedule_run(slices, stage.of(collective.rank()).*kind)),
      counts_(stage.shards()),
      pieces_(stage.shards()),
      send_(stage.shards()),
      receive_(stage.shards()) {
  std::vector<SliceRange> nodes;
  for (std::uint32_t rank = 0; rank < stage.shards(); ++rank) {
    if (rank == rank_) nodes_before_ = static_cast<std::uint32_t>(nodes.size());
    const auto results = schedule_run(slices, stage.of(ShardRank{rank}).*kind).results;
    nodes_of_rank_.push_back(static_cast<std::uint32_t>(results.size()));
    nodes.insert(nodes.end(), results.begin(), results.end());
    pieces_[rank].resize(own_.results.size());
    send_[rank] = pieces_[rank];
  }
  nodes_ = static_cast<std::uint32_t>(nodes.size());
  finish_ = schedule_finish(slices, nodes);
}

PartialSums::Rows PartialSums::rows_of(std::uint32_t rank) const {
  const std::uint32_t ranks = collective_.size();
  return {rows_count_ * rank / ranks, rows_count_ * (rank + 1) / ranks};
}

std::uint64_t PartialSums::bytes_spared_by_rows(std::uint64_t row) const {
  // A rank receives the others' nodes whole, or the others' nodes of its own rows and then the rest of the rows.
  const std::uint64_t ranks = collective_.size(), others = nodes_ * row * (ranks - 1) / ranks;
  const std::uint64_t own_rows = (rows_count_ + ranks - 1) / ranks, rest = rows_count_ - own_rows;
  return rest * (others > row ? others - row : 0);
}

float* PartialSums::begin(std::uint32_t rows, std::uint32_t stride, AlignedBuffer<float>& memory) {
  rows_count_ = rows;
  stride_ = stride;
  const std::size_t node = std::size_t{rows} * stride;
  scatter_ =
      collective_.size() > 1 && collective_.prefer_scatter(bytes_spared_by_rows(std::uint64_t{stride} * sizeof(float)));
  // shard_memory.cpp counts on this arithmetic.
  const std::size_t reserved = reserved_rows(rows), ranks = collective_.size();
  const std::size_t reserved_rows_of_all =
      scatter_ ? own_.results.size() * reserved + nodes_ * ((reserved + ranks - 1) / ranks) : nodes_ * reserved;
  const std::size_t floats = reserved_rows_of_all * stride;
  if (memory.size() < floats) {
    memory = {};  // never two of them at once
    memory = AlignedBuffer<float>(floats);
  }
  memory_ = memory.data();
  // By rows the own nodes lie apart from those that come in; otherwise they are already in their place among all.
  return scatter_ ? memory_ : memory_ + nodes_before_ * node;
}

Result<void> PartialSums::finish(const ComputeContext& context, ExchangeTag tag, float* x) {
  return scatter_ ? scatter_rows(context, tag, x) : gather_nodes(context, tag, x);
}

Result<void> PartialSums::gather_nodes(const ComputeContext& context, ExchangeTag tag, float* x) {
  const std::size_t node = std::size_t{rows_count_} * stride_;
  if (collective_.size() > 1) {
    for (std::size_t rank = 0; rank < counts_.size(); ++rank) counts_[rank] = nodes_of_rank_[rank] * node;
    TESSERA_CHECK(collective_.all_gather(tag, {memory_ + nodes_before_ * node, counts_[rank_]}, counts_,
                                         {memory_, nodes_ * node}));
  }
  finish_tree(context, finish_, memory_, node, x);
  return {};
}

Result<void> PartialSums::scatter_rows(const ComputeContext& context, ExchangeTag tag, float* x) {
  const std::size_t node = std::size_t{rows_count_} * stride_;
  const Rows mine = rows_of(rank_);
  const std::size_t own_node = std::size_t{mine.end - mine.begin} * stride_;
  float* const received = memory_ + own_.results.size() * node;
  float* next = received;
  for (std::uint32_t rank = 0; rank < counts_.size(); ++rank) {
    const Rows theirs = rows_of(rank);
    const std::size_t floats = std::size_t{theirs.end - theirs.begin} * stride_;
    for (std::size_t i = 0; i < pieces_[rank].size(); ++i) {
      pieces_[rank][i] = {memory_ + i * node + std::size_t{theirs.begin} * stride_, floats};
    }
    receive_[rank] = {next, nodes_of_rank_[rank] * own_node};
    next += receive_[rank].size();
    counts_[rank] = floats;
  }
  TESSERA_CHECK(collective_.all_to_all(tag, send_, receive_));
  float* const own_rows = x + std::size_t{mine.begin} * stride_;
  finish_tree(context, finish_, received, own_node, own_rows);
  return collective_.all_gather(finished_rows(tag), {own_rows, own_node}, counts_, {x, node});
}

}  // namespace tessera
