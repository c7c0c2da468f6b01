// The blocks of one layer: attention and feed-forward, for the shard's slices.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/base/ensure.hpp"
#include "runtime/model/shard_buffers.hpp"

namespace tessera {

namespace {

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

}  // namespace

float* ModelShard::query(std::uint32_t row, std::uint32_t head) const {
  const std::uint32_t local = head - heads_.begin, stride = buffers_->strides.query;
  return buffers_->q.data() + std::size_t{row} * stride +
         local / geometry_.attention_heads * (stride / slices_.attention.count()) +
         local % geometry_.attention_heads * shape_.head_dim;
}

float* ModelShard::attention_output(std::uint32_t row, std::uint32_t head) const {
  const std::uint32_t local = head - heads_.begin, stride = buffers_->strides.attention;
  return buffers_->attention.data() + std::size_t{row} * stride +
         local / geometry_.attention_heads * (stride / slices_.attention.count()) +
         local % geometry_.attention_heads * shape_.head_dim;
}

void ModelShard::attention_block(const Step& step, std::uint32_t layer, float* partials) {
  if (slices_.attention.empty()) return;
  Buffers& b = *buffers_;
  const LayerWeights& weights = layer_weights(layer);
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  begin_block(layer, LayerTensor::attn_norm, LayerTensor::attn_norm_bias, rows);
  const ColumnMatrix projections[] = {{weights[LayerTensor::attn_q], slices_.attention, b.q.data(), b.strides.query},
                                      {weights[LayerTensor::attn_k], kv_heads_, b.k.data(), b.strides.kv},
                                      {weights[LayerTensor::attn_v], kv_heads_, b.v.data(), b.strides.kv}};
  column_parallel(context_, projections, b.normed_activations);
  rotate_and_store(step, layer);
  attend(step, layer);
  b.attention_activations.prepare(context_, b.attention.data(), b.strides.attention, rows);
  b.row_parallel.run(context_, weights[LayerTensor::attn_out], b.attention_sums.own_schedule(), b.attention_activations,
                     partials);
}

void ModelShard::rotate_and_store(const Step& step, std::uint32_t layer) {
  Buffers& b = *buffers_;
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  const BlockPlan& plan = shape_.plan;
  const LayerWeights& weights = layer_weights(layer);
  const std::uint32_t head_dim = shape_.head_dim, half = plan.is_rotated(layer) ? shape_.rope_width() / 2 : 0;
  const bool local = plan.local_rope && plan.is_windowed(layer);
  const float* const cos_table = local ? b.local_cos.data() : b.cos.data();
  const float* const sin_table = local ? b.local_sin.data() : b.sin.data();
  const float* const q_bias = vector_of(weights[LayerTensor::attn_q_bias]);
  const float* const k_bias = vector_of(weights[LayerTensor::attn_k_bias]);
  const float* const v_bias = vector_of(weights[LayerTensor::attn_v_bias]);
  const float* const q_norm = vector_of(weights[LayerTensor::attn_q_norm]);
  const float* const k_norm = vector_of(weights[LayerTensor::attn_k_norm]);
  const auto finish_head = [&](float* x, const float* bias, const float* norm, const float* cos, const float* sin) {
    if (bias != nullptr) context_.ops->add(x, bias, head_dim, x);
    if (norm != nullptr) context_.ops->rms_norm(x, norm, shape_.norm_eps, head_dim, x);
    if (half != 0) context_.ops->rope(x, cos, sin, half);
  };
  const auto of_head = [&](const float* bias, std::uint32_t local_head) {
    return bias != nullptr ? bias + std::size_t{local_head} * head_dim : nullptr;
  };
  const std::size_t element_bytes = bytes_per_element(kv_.shape().dtype);
  const auto store = [&](const float* values, std::byte* place) {
    if (kv_.shape().dtype == KvDType::f32) {
      std::memcpy(place, values, shape_.head_dim * sizeof(float));
    } else {
      context_.ops->round_bf16(values, shape_.head_dim, reinterpret_cast<std::uint16_t*>(place));
    }
  };
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows, (task + 1) * rows_per_task); ++row) {
      const float* const cos = cos_table + std::size_t{row} * half;
      const float* const sin = sin_table + std::size_t{row} * half;
      for (std::uint32_t head = heads_.begin; head < heads_.end; ++head)
        finish_head(query(row, head), of_head(q_bias, head - heads_.begin), q_norm, cos, sin);
      const std::uint32_t position = step.rows[row].position;
      const auto pages = step.sequences[step.rows[row].sequence].pages;
      TESSERA_ENSURE(position / kv_page_positions < pages.size());
      const PageId page = pages[position / kv_page_positions];
      TESSERA_ENSURE(page.value < kv_.shape().pages);
      const std::size_t place =
          page.value * kv_.page_bytes() + position % kv_page_positions * shape_.head_dim * element_bytes;
      for (std::uint32_t head = kv_heads_.begin; head < kv_heads_.end; ++head) {
        const std::size_t column = std::size_t{row} * b.strides.kv + (head - kv_heads_.begin) * b.strides.kv_head;
        float* const k = b.k.data() + column;
        float* const v = b.v.data() + column;
        finish_head(k, of_head(k_bias, head - kv_heads_.begin), k_norm, cos, sin);
        if (v_bias != nullptr) context_.ops->add(v, of_head(v_bias, head - kv_heads_.begin), head_dim, v);
        store(k, kv_.k(layer, head) + place);
        store(v, kv_.v(layer, head) + place);
      }
    }
  });
}

void ModelShard::attend(const Step& step, std::uint32_t layer) {
  static_assert(sizeof(PageId) == sizeof(std::uint32_t));
  Buffers& b = *buffers_;
  const std::uint32_t group = shape_.queries_per_kv_head(), kv_heads = kv_heads_.count();
  const BlockPlan& plan = shape_.plan;
  const float scalar = plan.attention_scalar != 0 ? plan.attention_scalar : static_cast<float>(shape_.head_dim);
  const float scale = 1.0f / std::sqrt(scalar);
  const std::uint32_t window = plan.is_windowed(layer) ? plan.window : 0;
  context_.pool->run(static_cast<std::uint32_t>(b.attention_runs.size()) * kv_heads, [&](std::uint32_t task,
                                                                                         std::uint32_t worker) {
    const RowRun run = b.attention_runs[task / kv_heads];
    const std::uint32_t kv_head = kv_heads_.begin + task % kv_heads;
    const std::uint32_t head_begin = std::max(heads_.begin, kv_head * group);
    const std::uint32_t head_end = std::min(heads_.end, (kv_head + 1) * group);
    std::uint32_t queries = 0;
    for (std::uint32_t row = run.begin; row < run.begin + run.count; ++row) {
      for (std::uint32_t head = head_begin; head < head_end; ++head, ++queries) {
        b.query_pointers[worker][queries] = query(row, head);
        b.output_pointers[worker][queries] = attention_output(row, head);
        const std::uint32_t length = plan.bidirectional ? run.visible : step.rows[row].position + 1;
        b.lengths[worker][queries] = length;
        b.starts[worker][queries] = length - std::min(length, window);
      }
    }
    tessera_attention_args args{};
    args.kv_type = kv_.shape().dtype == KvDType::f32 ? TESSERA_KV_F32 : TESSERA_KV_BF16;
    args.k_base = kv_.k(layer, kv_head);
    args.v_base = kv_.v(layer, kv_head);
    args.page_stride = kv_.page_bytes();
    args.page_ids = reinterpret_cast<const std::uint32_t*>(step.sequences[step.rows[run.begin].sequence].pages.data());
    args.page_positions = kv_page_positions;
    args.head_dim = shape_.head_dim;
    args.scale = scale;
    args.queries = queries;
    args.q = b.query_pointers[worker].data();
    args.out = b.output_pointers[worker].data();
    args.lengths = b.lengths[worker].data();
    args.starts = window != 0 ? b.starts[worker].data() : nullptr;
    args.soft_cap = plan.attention_soft_cap;
    args.scratch = b.attention_scratch.data() + worker * TESSERA_ATTENTION_SCRATCH(shape_.head_dim);
    context_.ops->attention(&args);
  });
}

void ModelShard::feed_forward_columns(const Step& step, std::uint32_t layer) {
  const SliceRange slices = ffn_slices(layer);
  if (slices.empty()) return;
  Buffers& b = *buffers_;
  const LayerWeights& weights = layer_weights(layer);
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  begin_block(layer, LayerTensor::ffn_norm, LayerTensor::ffn_norm_bias, rows);
  if (shape_.plan.has_experts(layer)) {
    b.experts.route(context_, weights[LayerTensor::router], b.normed.data(), rows);
    b.experts.columns(context_, weights.experts, slices, b.normed.data(), b.gated_columns);
    return;
  }
  const FeedForwardMatrices matrices{shape_.plan.gated_ffn ? &weights[LayerTensor::ffn_gate] : nullptr,
                                     &weights[LayerTensor::ffn_up], vector_of(weights[LayerTensor::ffn_gate_bias]),
                                     vector_of(weights[LayerTensor::ffn_up_bias]), shape_.plan.activation};
  b.gated_columns.run(context_, matrices, slices, b.normed_activations, b.ffn_activations);
}

}  // namespace tessera
