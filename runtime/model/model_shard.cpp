#include "runtime/model/model_shard.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/base/exact_math.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/model/shard_buffers.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t lanes = TESSERA_LANES;

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

/// StepSink into memory of the caller.
class LogitsMemory final : public StepSink {
 public:
  LogitsMemory(std::span<float> out, std::uint32_t vocab_size) : out_(out), vocab_size_(vocab_size) {}
  void take_logits(std::uint32_t first, std::span<const float> logits) override {
    std::copy(logits.begin(), logits.end(), out_.data() + std::size_t{first} * vocab_size_);
  }

 private:
  std::span<float> out_;
  std::uint32_t vocab_size_;
};

/// What reads one row of a tile.
void (*row_unpacker(const tessera_op_table& ops, DType dtype))(const void*, std::uint32_t, std::uint32_t, float*) {
  switch (dtype) {
    case DType::f32:
      return ops.unpack_row_f32;
    case DType::bf16:
      return ops.unpack_row_bf16;
    case DType::q8:
      return ops.unpack_row_q8;
    case DType::q4:
      return ops.unpack_row_q4;
  }
  TESSERA_ENSURE(false);
}

}  // namespace

Result<std::unique_ptr<ModelShard>> ModelShard::create(std::shared_ptr<const Checkpoint> checkpoint,
                                                       const ShardAssignment& assignment, ShardLinks links,
                                                       ComputeContext context, std::uint32_t kv_pages) {
  const Manifest& manifest = checkpoint->manifest();
  TESSERA_CHECK(validate(assignment, manifest.shape));
  TESSERA_ENSURE(assignment.stage.shards() == links.collective.size());
  TESSERA_ENSURE(assignment.rank == links.collective.rank());
  TESSERA_ENSURE(links.stage != nullptr || (assignment.first() && assignment.last(manifest.shape)));
  TESSERA_TRY(auto weights, map_shard_weights(*checkpoint, assignment));
  const SliceRange kv_heads = assignment.slices().kv_heads(manifest.shape, manifest.geometry);
  TESSERA_TRY(auto kv, KvCache::create({assignment.layers, kv_heads, manifest.shape.head_dim,
                                        kv_dtype_for(manifest.dtype), kv_pages}));
  return std::unique_ptr<ModelShard>(
      new ModelShard(std::move(checkpoint), assignment, links, context, std::move(weights), std::move(kv)));
}

ModelShard::ModelShard(std::shared_ptr<const Checkpoint> checkpoint, const ShardAssignment& assignment,
                       ShardLinks links, ComputeContext context, ShardWeights weights, KvCache kv)
    : checkpoint_(std::move(checkpoint)),
      shape_(checkpoint_->manifest().shape),
      geometry_(checkpoint_->manifest().geometry),
      assignment_(assignment),
      links_(links),
      context_(context),
      weights_(std::move(weights)),
      kv_(std::move(kv)),
      slices_(assignment_.slices()),
      kv_heads_(slices_.kv_heads(shape_, geometry_)),
      heads_{slices_.attention.begin * geometry_.attention_heads,
             std::min(shape_.heads, slices_.attention.end * geometry_.attention_heads)},
      buffers_(new Buffers(assignment_, shape_, geometry_, links.collective)) {
  heads_.end = std::max(heads_.begin, heads_.end);
}

ModelShard::~ModelShard() = default;

void ModelShard::reserve_rows(std::uint32_t rows) {
  Buffers& b = *buffers_;
  if (b.rows >= rows) return;
  rows = reserved_rows(rows);
  b.rows = rows;
  const auto matrix = [rows](AlignedBuffer<float>& buffer, std::uint32_t stride) {
    grow(buffer, std::size_t{rows} * stride);
  };
  const ShardStrides& strides = b.strides;
  matrix(b.x, strides.dim);
  matrix(b.normed, strides.dim);
  matrix(b.q, strides.query);
  matrix(b.k, strides.kv);
  matrix(b.v, strides.kv);
  matrix(b.attention, strides.attention);
  const BlockPlan& plan = shape_.plan;
  if (plan.changes_attention_output() || plan.changes_ffn_output()) matrix(b.delta, strides.dim);
  for (AlignedBuffer<float>* const table : {&b.cos, &b.sin}) matrix(*table, shape_.rope_width() / 2);
  if (plan.local_rope) {
    for (AlignedBuffer<float>* const table : {&b.local_cos, &b.local_sin}) matrix(*table, shape_.rope_width() / 2);
  }
  const std::uint32_t workers = context_.pool->threads();
  static_assert(attention_scratch_floats(64) == TESSERA_ATTENTION_SCRATCH(64));
  grow(b.attention_scratch, workers * attention_scratch_floats(shape_.head_dim));
  const std::size_t queries = std::max<std::size_t>(std::size_t{attention_rows_per_task} * shape_.queries_per_kv_head(),
                                                    attention_queries_per_task);
  b.query_pointers.assign(workers, std::vector<const float*>(queries));
  b.output_pointers.assign(workers, std::vector<float*>(queries));
  b.lengths.assign(workers, std::vector<std::uint32_t>(queries));
  b.starts.assign(workers, std::vector<std::uint32_t>(queries));
  const DType dtype = checkpoint_->manifest().dtype;
  b.normed_activations = Activations(dtype, rows, shape_.dim);
  b.attention_activations = Activations(dtype, rows, strides.attention);
  if (plan.experts == 0) {
    b.ffn_activations = Activations(dtype, rows, strides.ffn);
  } else {
    b.experts = Experts(plan, dtype, rows, shape_.dim, strides.dim, strides.ffn);
    if (b.dense_sums) b.ffn_activations = Activations(dtype, rows, strides.dense_ffn);
  }
}

std::size_t ModelShard::buffer_bytes() const {
  const Buffers& b = *buffers_;
  std::size_t floats = 0;
  for (const AlignedBuffer<float>* buffer :
       {&b.x, &b.normed, &b.q, &b.k, &b.v, &b.attention, &b.delta, &b.cos, &b.sin, &b.local_cos, &b.local_sin, &b.nodes,
        &b.attention_scratch, &b.own_logits_padded, &b.own_logits, &b.gathered_logits, &b.logits}) {
    floats += buffer->size();
  }
  return floats * sizeof(float) + b.normed_activations.bytes() + b.attention_activations.bytes() +
         b.ffn_activations.bytes() + b.row_parallel.bytes() + b.gated_columns.bytes() + b.experts.bytes();
}

Result<void> ModelShard::run(const Step& step, std::span<float> logits) {
  TESSERA_ENSURE(logits.size() == (root() ? std::size_t{step.logits_rows()} * shape_.vocab_size : 0));
  LogitsMemory memory(logits, shape_.vocab_size);
  return run(step, memory);
}

Result<void> ModelShard::run(const Step& step, StepSink& sink) {
  TESSERA_ENSURE(!step.rows.empty() && step.rows.size() <= step_rows_max(shape_));
  reserve_rows(static_cast<std::uint32_t>(step.rows.size()));
  find_attention_runs(step);
  rope_tables(step);
  TESSERA_CHECK(begin_rows(step));
  for (std::uint32_t layer = assignment_.layers.begin; layer < assignment_.layers.end; ++layer) {
    TESSERA_CHECK(run_layer(step, layer));
  }
  if (assignment_.last(shape_)) {
    TESSERA_CHECK(give_hidden_states(step, sink));
    return compute_logits(step, sink);
  }
  return links_.stage->send({step.number, assignment_.layers.end, ExchangeOp::stage_input},
                            {buffers_->x.data(), step.rows.size() * buffers_->strides.dim});
}

Result<void> ModelShard::begin_rows(const Step& step) {
  if (!assignment_.first()) {
    return links_.stage->receive({step.number, assignment_.layers.begin, ExchangeOp::stage_input},
                                 {buffers_->x.data(), step.rows.size() * buffers_->strides.dim});
  }
  embed(step);
  const bool lost = weights_.embedding.failed() || weights_.positions.failed() || weights_.embedding_norm.failed() ||
                    weights_.embedding_norm_bias.failed();
  if (lost) return lost_page();
  return {};
}

Result<void> ModelShard::run_layer(const Step& step, std::uint32_t layer) {
  Buffers& b = *buffers_;
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  // Nothing that was computed from a lost page leaves the shard: every exchange comes after a look at the layer.
  float* const attention = b.attention_sums.begin(rows, b.strides.dim, b.nodes);
  attention_block(step, layer, attention);
  const bool parallel = shape_.plan.parallel_residual;
  if (parallel) feed_forward_columns(step, layer);
  if (layer_weights(layer).failed()) return lost_page();
  TESSERA_CHECK(add_sums(step, layer, ExchangeOp::attention_out));
  PartialSums& sums = ffn_sums(layer);
  float* const ffn = sums.begin(rows, b.strides.dim, b.nodes);
  if (!parallel) feed_forward_columns(step, layer);
  if (!ffn_slices(layer).empty() && shape_.plan.has_experts(layer)) {
    b.experts.rows(context_, layer_weights(layer).experts, sums.own_schedule(), ffn);
  } else if (!ffn_slices(layer).empty()) {
    b.row_parallel.run(context_, layer_weights(layer)[LayerTensor::ffn_down], sums.own_schedule(), b.ffn_activations,
                       ffn);
  }
  if (layer_weights(layer).failed()) return lost_page();
  return add_sums(step, layer, ExchangeOp::ffn_down);
}

SliceRange ModelShard::ffn_slices(std::uint32_t layer) const {
  return is_dense_among_experts(layer) ? slices_.dense_ffn(shape_, geometry_) : slices_.ffn;
}

PartialSums& ModelShard::ffn_sums(std::uint32_t layer) const {
  return is_dense_among_experts(layer) ? *buffers_->dense_sums : buffers_->ffn_sums;
}

Result<void> ModelShard::add_sums(const Step& step, std::uint32_t layer, ExchangeOp op) {
  Buffers& b = *buffers_;
  const bool of_attention = op == ExchangeOp::attention_out;
  const BlockPlan& plan = shape_.plan;
  PartialSums& sums = of_attention ? b.attention_sums : ffn_sums(layer);
  const ExchangeTag tag{step.number, layer, op};
  if (!(of_attention ? plan.changes_attention_output() : plan.changes_ffn_output())) {
    return sums.finish(context_, tag, b.x.data());
  }
  const LayerWeights& weights = layer_weights(layer);
  const MappedTensor& bias = weights[of_attention ? LayerTensor::attn_out_bias : LayerTensor::ffn_down_bias];
  const MappedTensor& norm = weights[of_attention ? LayerTensor::attn_post_norm : LayerTensor::ffn_post_norm];
  // Of the sum, where sums are normed.
  const float* const sum_norm = vector_of(weights[of_attention ? LayerTensor::attn_norm : LayerTensor::ffn_norm]);
  const float* const sum_norm_bias =
      vector_of(weights[of_attention ? LayerTensor::attn_norm_bias : LayerTensor::ffn_norm_bias]);
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  const std::size_t stride = b.strides.dim;
  std::fill_n(b.delta.data(), rows * stride, 0.0f);
  TESSERA_CHECK(sums.finish(context_, tag, b.delta.data()));
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows, (task + 1) * rows_per_task); ++row) {
      float* const delta = b.delta.data() + row * stride;
      float* const x = b.x.data() + row * stride;
      if (bias.bytes() != 0) context_.ops->add(delta, vector_of(bias), shape_.dim, delta);
      if (norm.bytes() != 0) context_.ops->rms_norm(delta, vector_of(norm), shape_.norm_eps, shape_.dim, delta);
      context_.ops->add(x, delta, shape_.dim, x);
      if (plan.sum_norms) normalise_row(sum_norm, sum_norm_bias, x, x);
    }
  });
  return weights.failed() ? Result<void>(lost_page()) : Result<void>{};
}

Error ModelShard::lost_page() const {
  return Error{ErrorCode::io,
               checkpoint_->source().uri() +
                   ": a mapped page could not be read: the file was truncated, or its storage was lost, while "
                   "the model ran; restore the file and start again"};
}

void ModelShard::find_attention_runs(const Step& step) {
  constexpr std::uint32_t tasks_per_thread = 4;
  const std::uint32_t many = attention_queries_per_task / shape_.queries_per_kv_head();
  const std::size_t tasks_of_many = many == 0 ? 0 : step.rows.size() / many * kv_heads_.count();
  const std::uint32_t rows_per_run = tasks_of_many < std::size_t{tasks_per_thread} * context_.pool->threads()
                                         ? attention_rows_per_task
                                         : std::max(attention_rows_per_task, many);
  std::vector<RowRun>& runs = buffers_->attention_runs;
  runs.clear();
  for (std::uint32_t row = 0; row < step.rows.size(); ++row) {
    const bool same_run =
        row > 0 && step.rows[row].sequence == step.rows[row - 1].sequence && runs.back().count < rows_per_run;
    if (!same_run) runs.push_back({row, 0, 0});
    ++runs.back().count;
  }
  if (!shape_.plan.bidirectional) return;
  // All of the sequence, up to its last row.
  for (std::size_t i = runs.size(); i-- > 0;) {
    const std::uint32_t last = runs[i].begin + runs[i].count - 1;
    const bool goes_on = i + 1 < runs.size() && step.rows[runs[i + 1].begin].sequence == step.rows[last].sequence;
    runs[i].visible = goes_on ? runs[i + 1].visible : step.rows[last].position + 1;
  }
}

void ModelShard::embed(const Step& step) {
  Buffers& b = *buffers_;
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  const auto unpack_row = [&](const MappedTensor& table, std::uint32_t index, float* out) {
    const PackedLayout& layout = table.packed();
    const std::uint32_t local = index % layout.slice;
    const auto unpack = row_unpacker(*context_.ops, layout.dtype);
    unpack(table.unit(index / layout.slice) + local / lanes * layout.tile_bytes(), local % lanes, shape_.dim, out);
  };
  const float scale = shape_.plan.embedding_scale;
  const bool learned = shape_.plan.positions == PositionKind::learned;
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows, (task + 1) * rows_per_task); ++row) {
      const auto token = static_cast<std::uint32_t>(step.rows[row].token);
      TESSERA_ENSURE(token < shape_.vocab_size);
      float* const x = b.x.data() + std::size_t{row} * b.strides.dim;
      unpack_row(weights_.embedding, token, x);
      if (scale != 1) context_.ops->scale(x, shape_.dim, scale, x);
      if (learned) {
        TESSERA_ENSURE(step.rows[row].position < shape_.context_length);
        float* const position = b.normed.data() + std::size_t{row} * b.strides.dim;
        unpack_row(weights_.positions, step.rows[row].position, position);
        context_.ops->add(x, position, shape_.dim, x);
      }
      if (shape_.plan.embedding_norm) {
        normalise_row(vector_of(weights_.embedding_norm), vector_of(weights_.embedding_norm_bias), x, x);
      }
    }
  });
}

void ModelShard::rope_tables(const Step& step) {
  Buffers& b = *buffers_;
  const Manifest& manifest = checkpoint_->manifest();
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  const auto fill_row = [&](std::uint32_t row, const std::vector<double>& frequencies, double magnitude, float* cos,
                            float* sin) {
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      const exact::SinCos angle = exact::sincos(static_cast<double>(step.rows[row].position) * frequencies[i]);
      cos[row * frequencies.size() + i] = static_cast<float>(angle.cos * magnitude);
      sin[row * frequencies.size() + i] = static_cast<float>(angle.sin * magnitude);
    }
  };
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows, (task + 1) * rows_per_task); ++row) {
      fill_row(row, manifest.rope_frequencies, shape_.plan.rope_magnitude, b.cos.data(), b.sin.data());
      fill_row(row, manifest.rope_local_frequencies, 1, b.local_cos.data(), b.local_sin.data());
    }
  });
}

void ModelShard::normalise(const MappedTensor& weight, const MappedTensor& bias, const float* x, std::uint32_t rows) {
  const float* const w = vector_of(weight);
  const float* const shift = vector_of(bias);
  const std::size_t stride = buffers_->strides.dim;
  float* const out = buffers_->normed.data();
  buffers_->normed_activations.prepare(context_, out, stride, rows, [&](std::uint32_t row) {
    normalise_row(w, shift, x + row * stride, out + row * stride);
  });
}

void ModelShard::normalise_row(const float* weight, const float* bias, const float* x, float* out) const {
  if (shape_.plan.norm == NormKind::layer) {
    context_.ops->layer_norm(x, weight, bias, shape_.norm_eps, shape_.dim, out);
  } else {
    context_.ops->rms_norm(x, weight, shape_.norm_eps, shape_.dim, out);
  }
}

void ModelShard::begin_block(std::uint32_t layer, LayerTensor norm, LayerTensor norm_bias, std::uint32_t rows) {
  Buffers& b = *buffers_;
  if (shape_.plan.sum_norms) {
    b.normed_activations.prepare(context_, b.x.data(), b.strides.dim, rows);
  } else {
    normalise(layer_weights(layer)[norm], layer_weights(layer)[norm_bias], b.x.data(), rows);
  }
}

}  // namespace tessera
