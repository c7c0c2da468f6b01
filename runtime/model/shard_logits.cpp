// The end of a step in the last stage: hidden states at the root, and logits of the rows that want them, gathered there
// in blocks of rows.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/model/shard_buffers.hpp"

namespace tessera {

namespace {

/// Rows that a buffer of logits is sized for: it grows in powers of two up to a whole block.
std::size_t rows_reserved(std::uint32_t rows) { return std::min(std::bit_ceil(rows), logits_rows_per_block); }

/// Pieces in which the threads go over all floats of a block of logits.
constexpr std::size_t floats_per_task = 16 << 10;

/// Without leaving early, so that it runs in vectors: not finite is an exponent of ones, which a carry shows.
bool all_finite(std::span<const float> values) {
  std::uint32_t carries = 0;
  for (const float value : values) carries |= (std::bit_cast<std::uint32_t>(value) & 0x7fffffffu) + 0x00800000u;
  return (carries >> 31) == 0;
}

bool all_finite(ThreadPool& pool, std::span<const float> values) {
  std::atomic<bool> finite{true};
  pool.run(static_cast<std::uint32_t>((values.size() + floats_per_task - 1) / floats_per_task),
           [&](std::uint32_t task, std::uint32_t) {
             const std::size_t begin = task * floats_per_task;
             const std::size_t count = std::min(floats_per_task, values.size() - begin);
             if (!all_finite(values.subspan(begin, count))) finite.store(false, std::memory_order_relaxed);
           });
  return finite.load(std::memory_order_relaxed);
}

}  // namespace

Result<void> ModelShard::give_hidden_states(const Step& step, StepSink& sink) {
  if (!root()) return {};
  Buffers& b = *buffers_;
  std::vector<std::uint32_t> wanted;
  for (std::uint32_t row = 0; row < step.rows.size(); ++row) {
    if (step.rows[row].wants_hidden) wanted.push_back(row);
  }
  const std::size_t stride = b.strides.dim;
  float* states = b.x.data();
  if (!shape_.plan.sum_norms) {
    // `x` stays: its rows may want logits too.
    states = b.normed.data();
    const auto count = static_cast<std::uint32_t>(wanted.size());
    const float* const weight = vector_of(weights_.final_norm);
    const float* const bias = vector_of(weights_.final_norm_bias);
    context_.pool->run((count + rows_per_task - 1) / rows_per_task, [&](std::uint32_t task, std::uint32_t) {
      for (std::uint32_t i = task * rows_per_task; i < std::min(count, (task + 1) * rows_per_task); ++i) {
        normalise_row(weight, bias, b.x.data() + wanted[i] * stride, states + wanted[i] * stride);
      }
    });
    if (weights_.final_norm.failed() || weights_.final_norm_bias.failed()) return lost_page();
  }
  for (std::uint32_t i = 0; i < wanted.size(); ++i) {
    const std::span<const float> state(states + wanted[i] * stride, shape_.dim);
    if (!all_finite(state)) return not_finite("hidden state");
    sink.take_hidden(i, state);
  }
  return {};
}

Error ModelShard::not_finite(const char* what) const {
  return Error{ErrorCode::corrupt, checkpoint_->source().uri() + ": the model gave a " + what +
                                       " that is not finite: its weights are damaged (tessera verify) or unusable at "
                                       "this precision"};
}

Result<void> ModelShard::compute_logits(const Step& step, StepSink& sink) {
  Buffers& b = *buffers_;
  const std::uint32_t wanted = step.logits_rows();
  if (wanted == 0) return {};
  TESSERA_ENSURE(shape_.plan.head);
  // The wanted rows move to the front of `x`, which is not needed any more.
  const std::size_t stride = b.strides.dim;
  std::size_t next = 0;
  for (std::size_t row = 0; row < step.rows.size(); ++row) {
    if (!step.rows[row].wants_logits) continue;
    if (next != row) std::memcpy(b.x.data() + next * stride, b.x.data() + row * stride, stride * sizeof(float));
    ++next;
  }
  for (std::uint32_t first = 0; first < wanted; first += logits_rows_per_block) {
    TESSERA_CHECK(gather_logits(step, first, std::min(logits_rows_per_block, wanted - first), sink));
  }
  return {};
}

Result<void> ModelShard::gather_logits(const Step& step, std::uint32_t first, std::uint32_t rows, StepSink& sink) {
  Buffers& b = *buffers_;
  const ShardPlan& stage = assignment_.stage;
  std::span<const float> all = own_logits(first, rows);
  if (weights_.final_norm.failed() || weights_.final_norm_bias.failed() || weights_.head_or_embedding().failed())
    return lost_page();
  if (stage.shards() > 1) {
    b.logits_counts.clear();
    for (std::uint32_t rank = 0; rank < stage.shards(); ++rank) {
      const SliceRange vocab = stage.of(ShardRank{rank}).vocab;
      b.logits_counts.push_back(std::uint64_t{rows} * vocabulary_rows(shape_, geometry_, vocab));
    }
    std::span<float> gathered;
    if (root()) {
      grow(b.gathered_logits, rows_reserved(rows) * shape_.vocab_size);
      gathered = {b.gathered_logits.data(), std::size_t{rows} * shape_.vocab_size};
    }
    const ExchangeTag tag{step.number, first / logits_rows_per_block, ExchangeOp::logits};
    TESSERA_CHECK(links_.collective.gather(tag, all, b.logits_counts, gathered));
    all = gathered;
  }
  if (!root()) return {};
  if (stage.shards() > 1 && rows > 1) {
    // From one rank behind the other to whole rows.
    grow(b.logits, rows_reserved(rows) * shape_.vocab_size);
    const float* source = all.data();
    for (std::uint32_t rank = 0; rank < stage.shards(); ++rank) {
      const SliceRange vocab = stage.of(ShardRank{rank}).vocab;
      const std::size_t columns = vocabulary_rows(shape_, geometry_, vocab);
      float* const out = b.logits.data() + std::size_t{vocab.begin} * geometry_.vocab_rows;
      for (std::size_t row = 0; row < rows; ++row, source += columns) {
        std::copy_n(source, columns, out + row * shape_.vocab_size);
      }
    }
    all = {b.logits.data(), all.size()};
  }
  if (!all_finite(*context_.pool, all)) return not_finite("logit");
  sink.take_logits(first, all);
  return {};
}

std::span<const float> ModelShard::own_logits(std::uint32_t first, std::uint32_t rows) {
  Buffers& b = *buffers_;
  if (slices_.vocab.empty()) return {};
  const std::size_t stride = b.strides.vocab, columns = vocabulary_rows(shape_, geometry_, slices_.vocab);
  const float* const x = b.x.data() + std::size_t{first} * b.strides.dim;
  if (shape_.plan.sum_norms) {
    b.normed_activations.prepare(context_, x, b.strides.dim, rows);
  } else {
    normalise(weights_.final_norm, weights_.final_norm_bias, x, rows);
  }
  grow(b.own_logits_padded, rows_reserved(rows) * stride);
  float* const padded = b.own_logits_padded.data();
  const ColumnMatrix head{weights_.head_or_embedding(), slices_.vocab, padded, stride};
  column_parallel(context_, {&head, 1}, b.normed_activations);
  if (const float cap = shape_.plan.logits_soft_cap; cap != 0) {
    const std::size_t floats = rows * stride;
    context_.pool->run(static_cast<std::uint32_t>((floats + floats_per_task - 1) / floats_per_task),
                       [&](std::uint32_t task, std::uint32_t) {
                         float* const part = padded + task * floats_per_task;
                         const std::size_t left = floats - task * floats_per_task;
                         context_.ops->soft_cap(part, std::min(left, floats_per_task), cap, part);
                       });
  }
  if (columns == stride) return {padded, rows * columns};
  grow(b.own_logits, rows_reserved(rows) * columns);
  for (std::size_t row = 0; row < rows; ++row) {
    std::copy_n(padded + row * stride, columns, b.own_logits.data() + row * columns);
  }
  return {b.own_logits.data(), rows * columns};
}

}  // namespace tessera
