// LlamaGradient: loss and gradient of a Llama-architecture model on one micro-batch, f32 weights.
//
// Forward, for all rows of the micro-batch at once (x is the residual stream [rows][dim]):
//
//   x = embedding;  per layer:  n = rms_norm(x);  q, k, v = n Wᵀ;  rope;  a = softmax(q kᵀ / sqrt(d)) v;  x += a Woᵀ
//                               n = rms_norm(x);  h = silu(n Wgᵀ) * (n Wuᵀ);  x += h Wdᵀ
//   logits = rms_norm(x) Wᵀ;  loss = Σ −log softmax(logits)[target]
//
// Backward is the chain rule, layer by layer from the end; activations are kept, attention weights are made again. The
// order of every sum is in docs/exactness.md, "Training".
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/tensor/model_shape.hpp"
#include "runtime/training/micro_batch.hpp"
#include "runtime/training/parameters.hpp"
#include "runtime/training/training_ops.hpp"

namespace tessera {

/// Rows of queries whose attention weights are in memory at a time.
inline constexpr std::uint32_t attention_block_rows = 64;

/// Confined to one thread, which computes on the pool of `ops`. Memory grows to the largest micro-batch so
/// far.
class LlamaGradient {
 public:
  /// `shape` is valid; `ops` outlives it.
  LlamaGradient(const ModelShape& shape, TrainingOps& ops);

  const ParameterLayout& parameters() const { return layout_; }

  /// Σ −log p(target) over the targets, in double, rows in order. `weights` has parameters().size() floats.
  double loss(const float* weights, const MicroBatch& batch);
  /// The same, and `gradient` [parameters().size()] becomes that of factor * loss.
  double gradient(const float* weights, const MicroBatch& batch, float factor, float* gradient);

  /// Bytes that it reserves for micro-batches of so many sequences, without weights and gradients.
  static std::uint64_t memory_bytes(const ModelShape& shape, std::uint32_t sequences, std::uint32_t length,
                                    std::uint32_t threads);

 private:
  struct LayerActivations {
    AlignedBuffer<float> x, attn_normed, q, k, v, attended, middle, ffn_normed, gate, up, hidden;
  };
  void reserve(const MicroBatch& batch);
  void forward(const float* weights, const MicroBatch& batch);
  void attention_forward(const MicroBatch& batch, LayerActivations& a);
  void attention_backward(const MicroBatch& batch, const LayerActivations& a);
  void layer_backward(const float* weights, const MicroBatch& batch, std::uint32_t layer, float* gradient);
  /// Logits block by block. With a gradient: that of the head, and of the normed rows into d_normed_.
  double head(const float* weights, const MicroBatch& batch, float factor, float* gradient);
  void norm_rows(const float* x, const float* weight, std::uint32_t rows, float* y);
  /// dx += gradient of the rows, dweight += that of the weight.
  void norm_backward(const float* x, const float* weight, const float* dy, std::uint32_t rows, float* dx,
                     float* dweight);
  void rotate(const MicroBatch& batch, float* x, std::uint32_t heads, bool back);

  ModelShape shape_;
  ParameterLayout layout_;
  TrainingOps& ops_;
  std::uint32_t width_, kv_width_;
  std::vector<LayerActivations> layers_;
  AlignedBuffer<float> x_, normed_, logits_;
  AlignedBuffer<float> dx_, d_normed_, d_wide_, d_wide2_, dq_, dk_, dv_, d_attended_;
  AlignedBuffer<float> cos_, sin_, minus_sin_;  ///< [length][head_dim / 2]
  std::vector<float> r_;                        ///< per row, of the norm under way
  std::vector<AlignedBuffer<float>> scores_;    ///< per thread: attention weights and their gradient
  std::uint32_t rows_reserved_ = 0, length_reserved_ = 0;
};

}  // namespace tessera
