// Attention of a micro-batch, forward and backward: one task for a head (forward) or a KV head (backward) of a
// sequence. Rows of queries are taken in blocks, and a block multiplies only the keys that its last row sees.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/training/llama_gradient.hpp"

namespace tessera {

namespace {

/// Queries first .. first + count - 1 of a sequence, which see the keys before `keys`.
struct QueryBlock {
  std::uint32_t first, count;
  std::uint32_t keys() const { return first + count; }
};

/// What the rows do not see is zero.
void clear_unseen(float* scores, std::size_t stride, QueryBlock block) {
  for (std::uint32_t i = 0; i < block.count; ++i) {
    const std::uint32_t seen = block.first + i + 1;
    std::memset(scores + i * stride + seen, 0, (block.keys() - seen) * sizeof(float));
  }
}

}  // namespace

void LlamaGradient::attention_forward(const MicroBatch& batch, LayerActivations& a) {
  const std::uint32_t length = batch.length, group = shape_.queries_per_kv_head(), head_dim = shape_.head_dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  ops_.pool().run(batch.sequences * shape_.heads, [&](std::uint32_t task, std::uint32_t worker) {
    const std::uint32_t head = task % shape_.heads;
    const std::size_t row = std::size_t{task / shape_.heads} * length;
    const std::size_t of_query = std::size_t{head} * head_dim, of_key = std::size_t{head / group} * head_dim;
    const float* const k = a.k.data() + row * kv_width_ + of_key;
    const float* const v = a.v.data() + row * kv_width_ + of_key;
    float* const scores = scores_[worker].data();
    for (std::uint32_t first = 0; first < length; first += attention_block_rows) {
      const QueryBlock block{first, std::min(attention_block_rows, length - first)};
      const std::size_t place = (row + first) * width_ + of_query;
      ops_.multiply_here(worker, MatrixOperand::plain(a.q.data() + place, width_), MatrixOperand::turned(k, kv_width_),
                         block.count, block.keys(), head_dim, scores, length, false);
      for (std::uint32_t i = 0; i < block.count; ++i) {
        float* const of_row = scores + std::size_t{i} * length;
        ops_.training().softmax(of_row, scale, first + i + 1, of_row);
      }
      clear_unseen(scores, length, block);
      ops_.multiply_here(worker, MatrixOperand::plain(scores, length), MatrixOperand::plain(v, kv_width_), block.count,
                         head_dim, block.keys(), a.attended.data() + place, width_, false);
    }
  });
}

void LlamaGradient::attention_backward(const MicroBatch& batch, const LayerActivations& a) {
  const std::uint32_t length = batch.length, group = shape_.queries_per_kv_head(), head_dim = shape_.head_dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  ops_.pool().run(batch.sequences * shape_.kv_heads, [&](std::uint32_t task, std::uint32_t worker) {
    const std::uint32_t kv_head = task % shape_.kv_heads;
    const std::size_t row = std::size_t{task / shape_.kv_heads} * length;
    const std::size_t key_place = row * kv_width_ + std::size_t{kv_head} * head_dim;
    const float* const k = a.k.data() + key_place;
    const float* const v = a.v.data() + key_place;
    float* const dk = dk_.data() + key_place;
    float* const dv = dv_.data() + key_place;
    for (std::size_t i = 0; i < length; ++i) {
      std::memset(dk + i * kv_width_, 0, head_dim * sizeof(float));
      std::memset(dv + i * kv_width_, 0, head_dim * sizeof(float));
    }
    float* const scores = scores_[worker].data();
    float* const d_scores = scores + std::size_t{attention_block_rows} * length;
    for (std::uint32_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::uint32_t first = 0; first < length; first += attention_block_rows) {
        const QueryBlock block{first, std::min(attention_block_rows, length - first)};
        const std::size_t place = (row + first) * width_ + std::size_t{head} * head_dim;
        const float* const q = a.q.data() + place;
        const float* const d_out = d_attended_.data() + place;
        ops_.multiply_here(worker, MatrixOperand::plain(q, width_), MatrixOperand::turned(k, kv_width_), block.count,
                           block.keys(), head_dim, scores, length, false);
        ops_.multiply_here(worker, MatrixOperand::plain(d_out, width_), MatrixOperand::turned(v, kv_width_),
                           block.count, block.keys(), head_dim, d_scores, length, false);
        for (std::uint32_t i = 0; i < block.count; ++i) {
          float* const p = scores + std::size_t{i} * length;
          float* const d = d_scores + std::size_t{i} * length;
          ops_.training().softmax(p, scale, first + i + 1, p);
          ops_.training().softmax_backward(p, d, scale, first + i + 1, d);
        }
        clear_unseen(scores, length, block);
        clear_unseen(d_scores, length, block);
        ops_.multiply_here(worker, MatrixOperand::plain(d_scores, length), MatrixOperand::plain(k, kv_width_),
                           block.count, head_dim, block.keys(), dq_.data() + place, width_, false);
        ops_.multiply_here(worker, MatrixOperand::turned(d_scores, length), MatrixOperand::plain(q, width_),
                           block.keys(), head_dim, block.count, dk, kv_width_, true);
        ops_.multiply_here(worker, MatrixOperand::turned(scores, length), MatrixOperand::plain(d_out, width_),
                           block.keys(), head_dim, block.count, dv, kv_width_, true);
      }
    }
  });
}

}  // namespace tessera
