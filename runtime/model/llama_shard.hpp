// LlamaShard: one shard of a Llama-architecture model. Runs steps; knows nothing of networks, batching policy or
// sampling.
//
// One step, per layer (x is the residual stream [rows][dim], whole on every shard; everything else only for the shard's
// slices):
//
//   n = rms_norm(x);  q, k, v = W·n;  rope;  k, v → KV pages;  a = attention(q, pages)
//   x += all shards' Σ W_out·a      (canonical tree, Collective)
//   n = rms_norm(x);  g = swiglu(W_gate·n, W_up·n)
//   x += all shards' Σ W_down·g     (canonical tree, Collective)
//
// and at the end the logits of the rows that want them, gathered on rank 0.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/model/kv_cache.hpp"
#include "runtime/model/matrix_ops.hpp"
#include "runtime/model/shard_weights.hpp"
#include "runtime/model/step.hpp"
#include "runtime/tensor/collective.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

/// Confined to the shard's executor thread; computes on that thread and its pool. Everything passed by reference
/// outlives it.
class LlamaShard {
 public:
  /// Maps the weights of `plan.of(collective.rank())` and reserves `kv_pages` pages.
  static Result<std::unique_ptr<LlamaShard>> create(std::shared_ptr<const Checkpoint> checkpoint, const ShardPlan& plan,
                                                    Collective& collective, ComputeContext context,
                                                    std::uint32_t kv_pages);
  ~LlamaShard();
  LlamaShard(const LlamaShard&) = delete;
  LlamaShard& operator=(const LlamaShard&) = delete;

  const ShardWeights& weights() const { return weights_; }

  /// One forward pass. On rank 0 `logits` is [step.logits_rows()][vocab_size], in row order; elsewhere it is empty.
  /// Errors: the collective broke, a mapped file was lost, or (rank 0) a logit is not finite.
  Result<void> run(const Step& step, std::span<float> logits);

 private:
  struct Buffers;
  struct Trees;
  LlamaShard(std::shared_ptr<const Checkpoint> checkpoint, const ShardPlan& plan, Collective& collective,
             ComputeContext context, ShardWeights weights, KvCache kv);

  void reserve_rows(std::uint32_t rows);
  void embed(const Step& step);
  void rope_tables(const Step& step);
  void attention_block(const Step& step, std::uint32_t layer);
  void rotate_and_store(const Step& step, std::uint32_t layer);
  void attend(const Step& step, std::uint32_t layer);
  void feed_forward_block(const Step& step, std::uint32_t layer);
  void normalise(const MappedTensor& weight, const float* x, float* out, std::uint32_t rows);
  Result<void> add_partials(const Step& step, std::uint32_t layer, ExchangeOp op);
  Result<void> compute_logits(const Step& step, std::span<float> logits);
  /// [wanted][rows of the shard's vocabulary slices], from the rows that `normed` holds.
  std::vector<float> own_logits(std::uint32_t wanted);

  float* query(std::uint32_t row, std::uint32_t head) const;
  float* attention_output(std::uint32_t row, std::uint32_t head) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  const ModelShape& shape_;
  const SliceGeometry& geometry_;
  ShardPlan plan_;
  Collective& collective_;
  ComputeContext context_;
  ShardWeights weights_;
  KvCache kv_;
  ShardSlices slices_;
  SliceRange kv_heads_;  ///< of the whole model, those whose K and V this shard keeps
  SliceRange heads_;     ///< query heads of this shard
  std::unique_ptr<Trees> trees_;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace tessera
