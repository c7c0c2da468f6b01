#include "runtime/model/llama_shard.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/base/exact_math.hpp"
#include "runtime/base/limits.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t lanes = TESSERA_LANES;
/// Rows of one sequence that one attention task takes: its queries share each K and V that they read.
constexpr std::uint32_t attention_rows_per_task = 16;
constexpr std::uint32_t rows_per_task = 8;

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }
std::uint32_t pad_to_lanes(std::uint32_t n) { return divide_up(n, lanes) * lanes; }

/// How the partial sums of one row-parallel matrix travel: this rank's own schedule, and what all ranks' results
/// become.
struct Exchange {
  TreeSchedule mine;
  TreeSchedule finish;
  std::vector<std::uint32_t> nodes_of_rank;

  Exchange(const ShardPlan& plan, std::uint32_t slices, SliceRange ShardSlices::*kind, ShardRank rank) {
    mine = schedule_run(slices, plan.of(rank).*kind);
    std::vector<SliceRange> nodes;
    for (std::uint32_t r = 0; r < plan.shards(); ++r) {
      const auto results = schedule_run(slices, plan.of(ShardRank{r}).*kind).results;
      nodes_of_rank.push_back(static_cast<std::uint32_t>(results.size()));
      nodes.insert(nodes.end(), results.begin(), results.end());
    }
    finish = schedule_finish(slices, nodes);
  }
};

/// Logical rows of the vocabulary inside a run of slices.
std::uint32_t vocabulary_rows(const ModelShape& shape, const SliceGeometry& geometry, SliceRange slices) {
  if (slices.empty()) return 0;
  return std::min(shape.vocab_size, slices.end * geometry.vocab_rows) - slices.begin * geometry.vocab_rows;
}

/// Rows of one sequence that follow each other in a step.
struct RowRun {
  std::uint32_t begin, count;
};

}  // namespace

struct LlamaShard::Trees {
  Exchange attention;
  Exchange ffn;
};

/// Everything that a step writes, sized for `rows` rows.
struct LlamaShard::Buffers {
  std::uint32_t rows = 0;
  std::uint32_t dim_stride = 0, query_stride = 0, kv_stride = 0, kv_head_stride = 0, attention_stride = 0,
                ffn_stride = 0;

  AlignedBuffer<float> x, normed, q, k, v, attention, gate, up;
  AlignedBuffer<float> cos, sin;   ///< [rows][head_dim / 2]
  AlignedBuffer<float> own_nodes;  ///< this rank's partial sums of one matrix
  AlignedBuffer<float> all_nodes;  ///< everyone's
  AlignedBuffer<float> attention_scratch;
  std::vector<std::vector<const float*>> query_pointers;  ///< per worker
  std::vector<std::vector<float*>> output_pointers;
  std::vector<std::vector<std::uint32_t>> lengths;
  std::vector<RowRun> attention_runs;
  Activations normed_activations, attention_activations, ffn_activations;
  RowParallel row_parallel;
};

Result<std::unique_ptr<LlamaShard>> LlamaShard::create(std::shared_ptr<const Checkpoint> checkpoint,
                                                       const ShardPlan& plan, Collective& collective,
                                                       ComputeContext context, std::uint32_t kv_pages) {
  TESSERA_ENSURE(plan.shards() == collective.size());
  const Manifest& manifest = checkpoint->manifest();
  const ShardSlices& slices = plan.of(collective.rank());
  TESSERA_TRY(auto weights, map_shard_weights(*checkpoint, slices));
  const SliceRange kv_heads = slices.kv_heads(manifest.shape, manifest.geometry);
  TESSERA_TRY(auto kv, KvCache::create({manifest.shape.layers, kv_heads.count(), manifest.shape.head_dim,
                                        kv_dtype_for(manifest.dtype), kv_pages}));
  return std::unique_ptr<LlamaShard>(
      new LlamaShard(std::move(checkpoint), plan, collective, context, std::move(weights), std::move(kv)));
}

LlamaShard::LlamaShard(std::shared_ptr<const Checkpoint> checkpoint, const ShardPlan& plan, Collective& collective,
                       ComputeContext context, ShardWeights weights, KvCache kv)
    : checkpoint_(std::move(checkpoint)),
      shape_(checkpoint_->manifest().shape),
      geometry_(checkpoint_->manifest().geometry),
      plan_(plan),
      collective_(collective),
      context_(context),
      weights_(std::move(weights)),
      kv_(std::move(kv)),
      slices_(plan_.of(collective.rank())),
      kv_heads_(slices_.kv_heads(shape_, geometry_)),
      heads_{slices_.attention.begin * geometry_.attention_heads,
             std::min(shape_.heads, slices_.attention.end * geometry_.attention_heads)},
      trees_(new Trees{Exchange(plan_, geometry_.attention_slices, &ShardSlices::attention, collective.rank()),
                       Exchange(plan_, geometry_.ffn_slices, &ShardSlices::ffn, collective.rank())}),
      buffers_(new Buffers) {
  heads_.end = std::max(heads_.begin, heads_.end);
}

LlamaShard::~LlamaShard() = default;

void LlamaShard::reserve_rows(std::uint32_t rows) {
  Buffers& b = *buffers_;
  if (b.rows >= rows) return;
  rows = std::min(std::bit_ceil(rows), limits::step_rows_max);
  b.rows = rows;
  const std::uint32_t slice_width = geometry_.attention_heads * shape_.head_dim;
  const std::uint32_t slice_k = divide_up(slice_width, TESSERA_BLOCK) * TESSERA_BLOCK;
  b.dim_stride = pad_to_lanes(shape_.dim);
  b.query_stride = slices_.attention.count() * pad_to_lanes(slice_width);
  b.kv_head_stride = pad_to_lanes(shape_.head_dim);
  b.kv_stride = kv_heads_.count() * b.kv_head_stride;
  b.attention_stride = slices_.attention.count() * slice_k;
  b.ffn_stride = slices_.ffn.count() * geometry_.ffn_columns;
  const auto matrix = [rows](std::uint32_t stride) { return AlignedBuffer<float>(std::size_t{rows} * stride); };
  b.x = matrix(b.dim_stride);
  b.normed = matrix(b.dim_stride);
  b.q = matrix(b.query_stride);
  b.k = matrix(b.kv_stride);
  b.v = matrix(b.kv_stride);
  b.attention = matrix(b.attention_stride);
  b.gate = matrix(b.ffn_stride);
  b.up = matrix(b.ffn_stride);
  b.cos = matrix(shape_.head_dim / 2);
  b.sin = matrix(shape_.head_dim / 2);
  const auto own = std::max(trees_->attention.mine.results.size(), trees_->ffn.mine.results.size());
  const auto all = std::max(trees_->attention.finish.merges_after.size(), trees_->ffn.finish.merges_after.size());
  b.own_nodes = AlignedBuffer<float>(own * rows * b.dim_stride);
  if (collective_.size() > 1) b.all_nodes = AlignedBuffer<float>(all * rows * b.dim_stride);
  const std::uint32_t workers = context_.pool->threads();
  b.attention_scratch = AlignedBuffer<float>(workers * TESSERA_ATTENTION_SCRATCH(shape_.head_dim));
  const std::size_t queries = std::size_t{attention_rows_per_task} * shape_.queries_per_kv_head();
  b.query_pointers.assign(workers, std::vector<const float*>(queries));
  b.output_pointers.assign(workers, std::vector<float*>(queries));
  b.lengths.assign(workers, std::vector<std::uint32_t>(queries));
  const DType dtype = checkpoint_->manifest().dtype;
  b.normed_activations = Activations(dtype, rows, shape_.dim);
  b.attention_activations = Activations(dtype, rows, b.attention_stride);
  b.ffn_activations = Activations(dtype, rows, b.ffn_stride);
}

Result<void> LlamaShard::run(const Step& step, std::span<float> logits) {
  TESSERA_ENSURE(!step.rows.empty() && step.rows.size() <= limits::step_rows_max);
  reserve_rows(static_cast<std::uint32_t>(step.rows.size()));
  embed(step);
  rope_tables(step);
  for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
    attention_block(step, layer);
    TESSERA_CHECK(add_partials(step, layer, ExchangeOp::attention_out));
    feed_forward_block(step, layer);
    TESSERA_CHECK(add_partials(step, layer, ExchangeOp::ffn_down));
  }
  TESSERA_CHECK(compute_logits(step, logits));
  if (weights_.failed()) {
    return Error{ErrorCode::io,
                 checkpoint_->source().uri() +
                     ": a mapped page could not be read: the file was truncated, or its storage was lost, while "
                     "the model ran; restore the file and start again"};
  }
  return {};
}

void LlamaShard::embed(const Step& step) {
  Buffers& b = *buffers_;
  const PackedLayout& layout = weights_.embedding.packed();
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  b.attention_runs.clear();
  for (std::uint32_t row = 0; row < rows; ++row) {
    const bool same_run = row > 0 && step.rows[row].sequence == step.rows[row - 1].sequence &&
                          b.attention_runs.back().count < attention_rows_per_task;
    if (!same_run) b.attention_runs.push_back({row, 0});
    ++b.attention_runs.back().count;
  }
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows, (task + 1) * rows_per_task); ++row) {
      const auto token = static_cast<std::uint32_t>(step.rows[row].token);
      TESSERA_ENSURE(token < shape_.vocab_size);
      const std::uint32_t unit = token / layout.slice, local = token % layout.slice;
      const std::byte* const tile = weights_.embedding.unit(unit) + local / lanes * layout.tile_bytes();
      const auto unpack = layout.dtype == DType::f32 ? context_.ops->unpack_row_f32 : context_.ops->unpack_row_q8;
      unpack(tile, local % lanes, shape_.dim, b.x.data() + std::size_t{row} * b.dim_stride);
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

void LlamaShard::normalise(const MappedTensor& weight, const float* x, float* out, std::uint32_t rows) {
  const auto* const w = reinterpret_cast<const float*>(weight.unit(0));
  const std::size_t stride = buffers_->dim_stride;
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows, (task + 1) * rows_per_task); ++row) {
      context_.ops->rms_norm(x + row * stride, w, shape_.norm_eps, shape_.dim, out + row * stride);
    }
  });
}

float* LlamaShard::query(std::uint32_t row, std::uint32_t head) const {
  const std::uint32_t local = head - heads_.begin;
  return buffers_->q.data() + std::size_t{row} * buffers_->query_stride +
         local / geometry_.attention_heads * pad_to_lanes(geometry_.attention_heads * shape_.head_dim) +
         local % geometry_.attention_heads * shape_.head_dim;
}

float* LlamaShard::attention_output(std::uint32_t row, std::uint32_t head) const {
  const std::uint32_t local = head - heads_.begin;
  const std::uint32_t slice_k = divide_up(geometry_.attention_heads * shape_.head_dim, TESSERA_BLOCK) * TESSERA_BLOCK;
  return buffers_->attention.data() + std::size_t{row} * buffers_->attention_stride +
         local / geometry_.attention_heads * slice_k + local % geometry_.attention_heads * shape_.head_dim;
}

void LlamaShard::attention_block(const Step& step, std::uint32_t layer) {
  if (slices_.attention.empty()) return;
  Buffers& b = *buffers_;
  const LayerWeights& weights = weights_.layers[layer];
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  normalise(weights.attn_norm, b.x.data(), b.normed.data(), rows);
  b.normed_activations.prepare(context_, b.normed.data(), b.dim_stride, rows);
  column_parallel(context_, weights.attn_q, slices_.attention, b.normed_activations, b.q.data(), b.query_stride);
  column_parallel(context_, weights.attn_k, kv_heads_, b.normed_activations, b.k.data(), b.kv_stride);
  column_parallel(context_, weights.attn_v, kv_heads_, b.normed_activations, b.v.data(), b.kv_stride);
  rotate_and_store(step, layer);
  attend(step, layer);
  b.attention_activations.prepare(context_, b.attention.data(), b.attention_stride, rows);
  b.row_parallel.run(context_, weights.attn_out, trees_->attention.mine, b.attention_activations, b.own_nodes.data());
}

void LlamaShard::rotate_and_store(const Step& step, std::uint32_t layer) {
  Buffers& b = *buffers_;
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  const std::uint32_t half = shape_.head_dim / 2;
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
      const float* const cos = b.cos.data() + std::size_t{row} * half;
      const float* const sin = b.sin.data() + std::size_t{row} * half;
      for (std::uint32_t head = heads_.begin; head < heads_.end; ++head)
        context_.ops->rope(query(row, head), cos, sin, half);
      const std::uint32_t position = step.rows[row].position;
      const auto pages = step.sequences[step.rows[row].sequence].pages;
      TESSERA_ENSURE(position / kv_page_positions < pages.size());
      const PageId page = pages[position / kv_page_positions];
      TESSERA_ENSURE(page.value < kv_.shape().pages);
      const std::size_t place =
          page.value * kv_.page_bytes() + position % kv_page_positions * shape_.head_dim * element_bytes;
      for (std::uint32_t head = 0; head < kv_heads_.count(); ++head) {
        float* const k = b.k.data() + std::size_t{row} * b.kv_stride + head * b.kv_head_stride;
        const float* const v = b.v.data() + std::size_t{row} * b.kv_stride + head * b.kv_head_stride;
        context_.ops->rope(k, cos, sin, half);
        store(k, kv_.k(layer, head) + place);
        store(v, kv_.v(layer, head) + place);
      }
    }
  });
}

void LlamaShard::attend(const Step& step, std::uint32_t layer) {
  static_assert(sizeof(PageId) == sizeof(std::uint32_t));
  Buffers& b = *buffers_;
  const std::uint32_t group = shape_.queries_per_kv_head(), kv_heads = kv_heads_.count();
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  context_.pool->run(static_cast<std::uint32_t>(b.attention_runs.size()) * kv_heads, [&](std::uint32_t task,
                                                                                         std::uint32_t worker) {
    const RowRun run = b.attention_runs[task / kv_heads];
    const std::uint32_t kv_head = task % kv_heads;
    const std::uint32_t head_begin = std::max(heads_.begin, (kv_heads_.begin + kv_head) * group);
    const std::uint32_t head_end = std::min(heads_.end, (kv_heads_.begin + kv_head + 1) * group);
    std::uint32_t queries = 0;
    for (std::uint32_t row = run.begin; row < run.begin + run.count; ++row) {
      for (std::uint32_t head = head_begin; head < head_end; ++head, ++queries) {
        b.query_pointers[worker][queries] = query(row, head);
        b.output_pointers[worker][queries] = attention_output(row, head);
        b.lengths[worker][queries] = step.rows[row].position + 1;
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
    args.scratch = b.attention_scratch.data() + worker * TESSERA_ATTENTION_SCRATCH(shape_.head_dim);
    context_.ops->attention(&args);
  });
}

void LlamaShard::feed_forward_block(const Step& step, std::uint32_t layer) {
  if (slices_.ffn.empty()) return;
  Buffers& b = *buffers_;
  const LayerWeights& weights = weights_.layers[layer];
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  normalise(weights.ffn_norm, b.x.data(), b.normed.data(), rows);
  b.normed_activations.prepare(context_, b.normed.data(), b.dim_stride, rows);
  column_parallel(context_, weights.ffn_gate, slices_.ffn, b.normed_activations, b.gate.data(), b.ffn_stride);
  column_parallel(context_, weights.ffn_up, slices_.ffn, b.normed_activations, b.up.data(), b.ffn_stride);
  context_.pool->run(divide_up(rows, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    const std::size_t begin = task * rows_per_task, count = std::min(rows_per_task, rows - task * rows_per_task);
    const std::size_t offset = begin * b.ffn_stride;
    context_.ops->swiglu(b.gate.data() + offset, b.up.data() + offset, count * b.ffn_stride, b.gate.data() + offset);
  });
  b.ffn_activations.prepare(context_, b.gate.data(), b.ffn_stride, rows);
  b.row_parallel.run(context_, weights.ffn_down, trees_->ffn.mine, b.ffn_activations, b.own_nodes.data());
}

Result<void> LlamaShard::add_partials(const Step& step, std::uint32_t layer, ExchangeOp op) {
  Buffers& b = *buffers_;
  const Exchange& exchange = op == ExchangeOp::attention_out ? trees_->attention : trees_->ffn;
  const std::size_t count = step.rows.size() * b.dim_stride;
  float* nodes = b.own_nodes.data();
  if (collective_.size() > 1) {
    std::vector<std::uint64_t> counts;
    for (const std::uint32_t node_count : exchange.nodes_of_rank) counts.push_back(node_count * count);
    nodes = b.all_nodes.data();
    TESSERA_CHECK(collective_.all_gather({step.number, layer, op},
                                         {b.own_nodes.data(), counts[collective_.rank().value]}, counts,
                                         {nodes, exchange.finish.merges_after.size() * count}));
  }
  finish_tree(context_, exchange.finish, nodes, count, b.x.data());
  return {};
}

Result<void> LlamaShard::compute_logits(const Step& step, std::span<float> logits) {
  Buffers& b = *buffers_;
  const std::uint32_t wanted = step.logits_rows();
  if (wanted == 0) return {};
  // The wanted rows move to the front of `normed`; x is not needed any more.
  std::uint32_t next = 0;
  for (std::uint32_t row = 0; row < step.rows.size(); ++row) {
    if (!step.rows[row].wants_logits) continue;
    float* const from = b.x.data() + std::size_t{row} * b.dim_stride;
    if (next != row) std::memcpy(b.x.data() + std::size_t{next} * b.dim_stride, from, b.dim_stride * sizeof(float));
    ++next;
  }
  normalise(weights_.final_norm, b.x.data(), b.normed.data(), wanted);
  b.normed_activations.prepare(context_, b.normed.data(), b.dim_stride, wanted);

  const std::vector<float> mine = own_logits(wanted);
  std::vector<std::uint64_t> counts;
  for (std::uint32_t rank = 0; rank < plan_.shards(); ++rank) {
    counts.push_back(std::uint64_t{wanted} * vocabulary_rows(shape_, geometry_, plan_.of(ShardRank{rank}).vocab));
  }
  const bool is_root = collective_.rank().value == 0;
  std::vector<float> all(is_root && collective_.size() > 1 ? std::size_t{wanted} * shape_.vocab_size : 0);
  if (collective_.size() > 1) {
    TESSERA_CHECK(collective_.gather({step.number, shape_.layers, ExchangeOp::logits}, mine, counts, all));
  }
  if (!is_root) return {};
  TESSERA_ENSURE(logits.size() == std::size_t{wanted} * shape_.vocab_size);
  const float* source = collective_.size() > 1 ? all.data() : mine.data();
  for (std::uint32_t rank = 0; rank < plan_.shards(); ++rank) {
    const SliceRange vocab = plan_.of(ShardRank{rank}).vocab;
    const std::size_t rows = vocabulary_rows(shape_, geometry_, vocab);
    for (std::uint32_t row = 0; row < wanted; ++row, source += rows) {
      std::copy_n(
          source, rows,
          logits.data() + std::size_t{row} * shape_.vocab_size + std::size_t{vocab.begin} * geometry_.vocab_rows);
    }
  }
  if (!std::all_of(logits.begin(), logits.end(), [](float value) { return std::isfinite(value); })) {
    return Error{ErrorCode::corrupt,
                 checkpoint_->source().uri() +
                     ": the model gave a logit that is not finite: its weights are damaged (tessera verify) or "
                     "unusable at this precision"};
  }
  return {};
}

std::vector<float> LlamaShard::own_logits(std::uint32_t wanted) {
  Buffers& b = *buffers_;
  const std::uint32_t own_rows = vocabulary_rows(shape_, geometry_, slices_.vocab);
  const std::uint32_t stride = pad_to_lanes(own_rows);
  AlignedBuffer<float> padded(std::size_t{wanted} * stride);
  column_parallel(context_, weights_.head_or_embedding(), slices_.vocab, b.normed_activations, padded.data(), stride);
  std::vector<float> mine(std::size_t{wanted} * own_rows);
  for (std::size_t row = 0; row < wanted; ++row) {
    std::copy_n(padded.data() + row * stride, own_rows, mine.data() + row * own_rows);
  }
  return mine;
}

}  // namespace tessera
