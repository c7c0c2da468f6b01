#include "runtime/model/llama_shard.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/exact_math.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/model/shard_buffers.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t lanes = TESSERA_LANES;

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

/// LogitsSink into memory of the caller.
class LogitsMemory final : public LogitsSink {
 public:
  LogitsMemory(std::span<float> out, std::uint32_t vocab_size) : out_(out), vocab_size_(vocab_size) {}
  void take(std::uint32_t first, std::span<const float> logits) override {
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

Result<std::unique_ptr<LlamaShard>> LlamaShard::create(std::shared_ptr<const Checkpoint> checkpoint,
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
  return std::unique_ptr<LlamaShard>(
      new LlamaShard(std::move(checkpoint), assignment, links, context, std::move(weights), std::move(kv)));
}

LlamaShard::LlamaShard(std::shared_ptr<const Checkpoint> checkpoint, const ShardAssignment& assignment,
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

LlamaShard::~LlamaShard() = default;

void LlamaShard::reserve_rows(std::uint32_t rows) {
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
  matrix(b.cos, shape_.head_dim / 2);
  matrix(b.sin, shape_.head_dim / 2);
  const std::uint32_t workers = context_.pool->threads();
  static_assert(attention_scratch_floats(64) == TESSERA_ATTENTION_SCRATCH(64));
  grow(b.attention_scratch, workers * attention_scratch_floats(shape_.head_dim));
  const std::size_t queries = std::max<std::size_t>(std::size_t{attention_rows_per_task} * shape_.queries_per_kv_head(),
                                                    attention_queries_per_task);
  b.query_pointers.assign(workers, std::vector<const float*>(queries));
  b.output_pointers.assign(workers, std::vector<float*>(queries));
  b.lengths.assign(workers, std::vector<std::uint32_t>(queries));
  const DType dtype = checkpoint_->manifest().dtype;
  b.normed_activations = Activations(dtype, rows, shape_.dim);
  b.attention_activations = Activations(dtype, rows, strides.attention);
  b.ffn_activations = Activations(dtype, rows, strides.ffn);
}

std::size_t LlamaShard::buffer_bytes() const {
  const Buffers& b = *buffers_;
  std::size_t floats = 0;
  for (const AlignedBuffer<float>* buffer :
       {&b.x, &b.normed, &b.q, &b.k, &b.v, &b.attention, &b.cos, &b.sin, &b.nodes, &b.attention_scratch,
        &b.own_logits_padded, &b.own_logits, &b.gathered_logits, &b.logits}) {
    floats += buffer->size();
  }
  return floats * sizeof(float) + b.normed_activations.bytes() + b.attention_activations.bytes() +
         b.ffn_activations.bytes() + b.row_parallel.bytes() + b.gated_columns.bytes();
}

Result<void> LlamaShard::run(const Step& step, std::span<float> logits) {
  TESSERA_ENSURE(logits.size() == (root() ? std::size_t{step.logits_rows()} * shape_.vocab_size : 0));
  LogitsMemory memory(logits, shape_.vocab_size);
  return run(step, memory);
}

Result<void> LlamaShard::run(const Step& step, LogitsSink& sink) {
  TESSERA_ENSURE(!step.rows.empty() && step.rows.size() <= limits::step_rows_max);
  reserve_rows(static_cast<std::uint32_t>(step.rows.size()));
  find_attention_runs(step);
  rope_tables(step);
  TESSERA_CHECK(begin_rows(step));
  for (std::uint32_t layer = assignment_.layers.begin; layer < assignment_.layers.end; ++layer) {
    TESSERA_CHECK(run_layer(step, layer));
  }
  if (assignment_.last(shape_)) return compute_logits(step, sink);
  return links_.stage->send({step.number, assignment_.layers.end, ExchangeOp::stage_input},
                            {buffers_->x.data(), step.rows.size() * buffers_->strides.dim});
}

Result<void> LlamaShard::begin_rows(const Step& step) {
  if (!assignment_.first()) {
    return links_.stage->receive({step.number, assignment_.layers.begin, ExchangeOp::stage_input},
                                 {buffers_->x.data(), step.rows.size() * buffers_->strides.dim});
  }
  embed(step);
  if (weights_.embedding.failed()) return lost_page();
  return {};
}

Result<void> LlamaShard::run_layer(const Step& step, std::uint32_t layer) {
  Buffers& b = *buffers_;
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  // Nothing that was computed from a lost page leaves the shard: every exchange comes after a look at the layer.
  float* const attention = b.attention_sums.begin(rows, b.strides.dim, b.nodes);
  attention_block(step, layer, attention);
  if (layer_weights(layer).failed()) return lost_page();
  TESSERA_CHECK(b.attention_sums.finish(context_, {step.number, layer, ExchangeOp::attention_out}, b.x.data()));
  float* const ffn = b.ffn_sums.begin(rows, b.strides.dim, b.nodes);
  feed_forward_block(step, layer, ffn);
  if (layer_weights(layer).failed()) return lost_page();
  return b.ffn_sums.finish(context_, {step.number, layer, ExchangeOp::ffn_down}, b.x.data());
}

Error LlamaShard::lost_page() const {
  return Error{ErrorCode::io,
               checkpoint_->source().uri() +
                   ": a mapped page could not be read: the file was truncated, or its storage was lost, while "
                   "the model ran; restore the file and start again"};
}

void LlamaShard::find_attention_runs(const Step& step) {
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
    if (!same_run) runs.push_back({row, 0});
    ++runs.back().count;
  }
}

void LlamaShard::embed(const Step& step) {
  Buffers& b = *buffers_;
  const PackedLayout& layout = weights_.embedding.packed();
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  const auto unpack = row_unpacker(*context_.ops, layout.dtype);
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows, (task + 1) * rows_per_task); ++row) {
      const auto token = static_cast<std::uint32_t>(step.rows[row].token);
      TESSERA_ENSURE(token < shape_.vocab_size);
      const std::uint32_t unit = token / layout.slice, local = token % layout.slice;
      const std::byte* const tile = weights_.embedding.unit(unit) + local / lanes * layout.tile_bytes();
      unpack(tile, local % lanes, shape_.dim, b.x.data() + std::size_t{row} * b.strides.dim);
    }
  });
}

void LlamaShard::rope_tables(const Step& step) {
  Buffers& b = *buffers_;
  const std::vector<double>& frequencies = checkpoint_->manifest().rope_frequencies;
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows, (task + 1) * rows_per_task); ++row) {
      for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const exact::SinCos angle = exact::sincos(static_cast<double>(step.rows[row].position) * frequencies[i]);
        b.cos[row * frequencies.size() + i] = static_cast<float>(angle.cos);
        b.sin[row * frequencies.size() + i] = static_cast<float>(angle.sin);
      }
    }
  });
}

void LlamaShard::normalise(const MappedTensor& weight, const float* x, std::uint32_t rows) {
  const auto* const w = reinterpret_cast<const float*>(weight.unit(0));
  const std::size_t stride = buffers_->strides.dim;
  float* const out = buffers_->normed.data();
  buffers_->normed_activations.prepare(context_, out, stride, rows, [&](std::uint32_t row) {
    context_.ops->rms_norm(x + row * stride, w, shape_.norm_eps, shape_.dim, out + row * stride);
  });
}

}  // namespace tessera
