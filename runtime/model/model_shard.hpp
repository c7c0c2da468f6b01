// ModelShard: one shard of a model, whose blocks the plan of its shape describes (runtime/tensor/block_plan.hpp). Runs
// steps; knows nothing of networks, batching policy or sampling.
//
// One step of the plain plan, per layer of the shard's stage (x is the residual stream [rows][dim], whole on every
// shard; everything else only for the shard's slices):
//
//   first stage: x = embedding; others: x from the stage before (StageLink)
//   n = rms_norm(x);  q, k, v = W·n;  rope;  k, v → KV pages;  a = attention(q, pages)
//   x += all shards' Σ W_out·a      (canonical tree, Collective)
//   n = rms_norm(x);  g = swiglu(W_gate·n, W_up·n)
//   x += all shards' Σ W_down·g     (canonical tree, Collective)
//
// What a plan adds is done by each shard for its own slices (biases, norms of heads) or, after the tree, for whole rows
// (biases and norms of what is added to x): no order of additions depends on the number of shards.
//
// Where sums are normed, n = x and x = norm(x + sum) instead.
//
// and at the end x goes to the next stage, or, in the last one, the root (rank 0) gives the hidden states of the rows
// that want them, and the logits of the rows that want them are gathered there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "runtime/base/result.hpp"
#include "runtime/model/kv_cache.hpp"
#include "runtime/model/matrix_ops.hpp"
#include "runtime/model/shard_weights.hpp"
#include "runtime/model/step.hpp"
#include "runtime/tensor/collective.hpp"
#include "runtime/tensor/shard_assignment.hpp"

namespace tessera {

class PartialSums;

/// A shard's ways to the others. All outlive it.
struct ShardLinks {
  Collective& collective;      ///< of its stage
  StageLink* stage = nullptr;  ///< to the neighbouring stages; may be null when the stage is first and last
};

/// Confined to the shard's executor thread; computes on that thread and its pool. Everything passed by reference
/// outlives it. It is destroyed when no run() is under way: whoever wants it to end while its thread is blocked in an
/// exchange breaks that exchange first and joins the thread.
class ModelShard {
 public:
  /// Maps the weights of the assignment and reserves `kv_pages` pages. `corrupt` when the assignment does not fit the
  /// model.
  static Result<std::unique_ptr<ModelShard>> create(std::shared_ptr<const Checkpoint> checkpoint,
                                                    const ShardAssignment& assignment, ShardLinks links,
                                                    ComputeContext context, std::uint32_t kv_pages);
  ~ModelShard();
  ModelShard(const ModelShard&) = delete;
  ModelShard& operator=(const ModelShard&) = delete;

  const ShardAssignment& assignment() const { return assignment_; }
  const ShardWeights& weights() const { return weights_; }
  /// Pages go in and out between steps only.
  KvCache& kv() { return kv_; }
  const KvCache& kv() const { return kv_; }
  /// Whether hidden states and logits arrive here.
  bool root() const { return assignment_.root(shape_); }
  /// What the steps so far have made it reserve for itself, without weights and KV cache.
  std::size_t buffer_bytes() const;

  /// One forward pass. The root hands hidden states and blocks of logits to `sink`; elsewhere it is not called. Of what
  /// was taken before an error nothing may be used.
  /// Errors: an exchange broke, a mapped file was lost, or (root) a hidden state or a logit is not finite. A shard
  /// whose step failed is never used again: its KV pages and its place in the exchanges are undefined.
  Result<void> run(const Step& step, StepSink& sink);
  /// The same into memory: at the root `logits` is [step.logits_rows()][vocab_size], elsewhere it is empty.
  Result<void> run(const Step& step, std::span<float> logits);

 private:
  struct Buffers;
  ModelShard(std::shared_ptr<const Checkpoint> checkpoint, const ShardAssignment& assignment, ShardLinks links,
             ComputeContext context, ShardWeights weights, KvCache kv);

  void reserve_rows(std::uint32_t rows);
  void find_attention_runs(const Step& step);
  Result<void> begin_rows(const Step& step);
  Result<void> run_layer(const Step& step, std::uint32_t layer);
  void embed(const Step& step);
  void rope_tables(const Step& step);
  void attention_block(const Step& step, std::uint32_t layer, float* partials);
  void rotate_and_store(const Step& step, std::uint32_t layer);
  void attend(const Step& step, std::uint32_t layer);
  /// Up to the activations of the last matrix.
  void feed_forward_columns(const Step& step, std::uint32_t layer);
  /// Finishes the sums of a row-parallel matrix and adds them to x, with the bias and the norm of the plan between.
  Result<void> add_sums(const Step& step, std::uint32_t layer, ExchangeOp op);
  /// One network in a model with experts.
  bool is_dense_among_experts(std::uint32_t layer) const {
    return shape_.plan.experts != 0 && !shape_.plan.has_experts(layer);
  }
  /// Slices of the layer's feed-forward networks that this shard holds.
  SliceRange ffn_slices(std::uint32_t layer) const;
  PartialSums& ffn_sums(std::uint32_t layer) const;
  /// Into `normed`, and prepared for the matrices. `bias` is empty for RMSNorm.
  void normalise(const MappedTensor& weight, const MappedTensor& bias, const float* x, std::uint32_t rows);
  /// One row of [dim] by the norm of the plan; `out` may be `x`.
  void normalise_row(const float* weight, const float* bias, const float* x, float* out) const;
  /// What attention and FFN read: the norm of x, or, where sums are normed, x.
  void begin_block(std::uint32_t layer, LayerTensor norm, LayerTensor norm_bias, std::uint32_t rows);
  Result<void> give_hidden_states(const Step& step, StepSink& sink);
  Error not_finite(const char* what) const;
  Result<void> compute_logits(const Step& step, StepSink& sink);
  /// Logits of the rows [first, first + rows) of `normed`, on the root as [rows][vocab_size].
  Result<void> gather_logits(const Step& step, std::uint32_t first, std::uint32_t rows, StepSink& sink);
  std::span<const float> own_logits(std::uint32_t first, std::uint32_t rows);

  const LayerWeights& layer_weights(std::uint32_t layer) const {
    return weights_.layers[layer - assignment_.layers.begin];
  }
  Error lost_page() const;
  float* query(std::uint32_t row, std::uint32_t head) const;
  float* attention_output(std::uint32_t row, std::uint32_t head) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  const ModelShape& shape_;
  const SliceGeometry& geometry_;
  ShardAssignment assignment_;
  ShardLinks links_;
  ComputeContext context_;
  ShardWeights weights_;
  KvCache kv_;
  ShardSlices slices_;
  SliceRange kv_heads_;  ///< of the whole model, those whose K and V this shard keeps
  SliceRange heads_;     ///< query heads of this shard
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace tessera
