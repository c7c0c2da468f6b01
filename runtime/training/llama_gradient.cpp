#include "runtime/training/llama_gradient.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/base/ensure.hpp"
#include "runtime/base/exact_math.hpp"

namespace tessera {

namespace {

/// Rows of elementwise work in one task, at least.
constexpr std::size_t rows_grain = 8;
constexpr std::size_t columns_grain = 16;
/// Rows whose logits are in memory at a time.
constexpr std::uint32_t head_rows = 256;

void grow(AlignedBuffer<float>& buffer, std::size_t floats) {
  if (buffer.size() >= floats) return;
  buffer = {};  // never two of them at once
  buffer = AlignedBuffer<float>(floats);
}

}  // namespace

LlamaGradient::LlamaGradient(const ModelShape& shape, TrainingOps& ops)
    : shape_(shape),
      layout_(shape),
      ops_(ops),
      width_(shape.attention_width()),
      kv_width_(shape.kv_heads * shape.head_dim),
      layers_(shape.layers),
      scores_(ops.pool().threads()) {}

std::uint64_t LlamaGradient::memory_bytes(const ModelShape& shape, std::uint32_t sequences, std::uint32_t length,
                                          std::uint32_t threads) {
  const std::uint64_t rows = std::uint64_t{sequences} * length;
  const std::uint64_t width = shape.attention_width(), kv = std::uint64_t{shape.kv_heads} * shape.head_dim;
  const std::uint64_t dim = shape.dim, ffn = shape.ffn_dim;
  const std::uint64_t layer = 4 * dim + 2 * width + 2 * kv + 3 * ffn;
  const std::uint64_t shared = 4 * dim + 2 * ffn + 2 * width + 2 * kv;
  const std::uint64_t logits = std::min<std::uint64_t>(rows, head_rows) * shape.vocab_size;
  const std::uint64_t scores =
      std::uint64_t{threads} * (2 * std::uint64_t{attention_block_rows} * length + TESSERA_GEMM_SCRATCH);
  return sizeof(float) * (rows * (shape.layers * layer + shared) + logits + scores);
}

void LlamaGradient::reserve(const MicroBatch& batch) {
  const std::uint32_t rows = batch.rows();
  TESSERA_ENSURE(rows > 0 && batch.inputs.size() == rows && batch.targets.size() == rows);
  if (rows > rows_reserved_) {
    const std::size_t dim = std::size_t{rows} * shape_.dim, wide = std::size_t{rows} * width_;
    const std::size_t kv = std::size_t{rows} * kv_width_, ffn = std::size_t{rows} * shape_.ffn_dim;
    for (LayerActivations& a : layers_) {
      for (AlignedBuffer<float>* const buffer : {&a.x, &a.attn_normed, &a.middle, &a.ffn_normed}) grow(*buffer, dim);
      for (AlignedBuffer<float>* const buffer : {&a.q, &a.attended}) grow(*buffer, wide);
      for (AlignedBuffer<float>* const buffer : {&a.k, &a.v}) grow(*buffer, kv);
      for (AlignedBuffer<float>* const buffer : {&a.gate, &a.up, &a.hidden}) grow(*buffer, ffn);
    }
    for (AlignedBuffer<float>* const buffer : {&x_, &normed_, &dx_, &d_normed_}) grow(*buffer, dim);
    for (AlignedBuffer<float>* const buffer : {&dq_, &d_attended_}) grow(*buffer, wide);
    for (AlignedBuffer<float>* const buffer : {&dk_, &dv_}) grow(*buffer, kv);
    for (AlignedBuffer<float>* const buffer : {&d_wide_, &d_wide2_}) grow(*buffer, ffn);
    grow(logits_, std::size_t{std::min(rows, head_rows)} * shape_.vocab_size);
    r_.resize(rows);
    rows_reserved_ = rows;
  }
  if (batch.length > length_reserved_) {
    const std::vector<double> frequencies = rope_frequencies(shape_);
    const std::size_t half = frequencies.size();
    for (AlignedBuffer<float>* const buffer : {&cos_, &sin_, &minus_sin_}) grow(*buffer, batch.length * half);
    for (std::size_t position = 0; position < batch.length; ++position) {
      for (std::size_t i = 0; i < half; ++i) {
        const exact::SinCos angle = exact::sincos(static_cast<double>(position) * frequencies[i]);
        cos_.data()[position * half + i] = static_cast<float>(angle.cos);
        sin_.data()[position * half + i] = static_cast<float>(angle.sin);
        minus_sin_.data()[position * half + i] = -static_cast<float>(angle.sin);
      }
    }
    for (AlignedBuffer<float>& scores : scores_) grow(scores, 2 * std::size_t{attention_block_rows} * batch.length);
    length_reserved_ = batch.length;
  }
}

void LlamaGradient::norm_rows(const float* x, const float* weight, std::uint32_t rows, float* y) {
  const std::size_t dim = shape_.dim;
  ops_.each_run(rows, rows_grain, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    for (std::size_t row = begin; row < end; ++row)
      ops_.table().rms_norm(x + row * dim, weight, shape_.norm_eps, shape_.dim, y + row * dim);
  });
}

void LlamaGradient::norm_backward(const float* x, const float* weight, const float* dy, std::uint32_t rows, float* dx,
                                  float* dweight) {
  const std::size_t dim = shape_.dim;
  ops_.each_run(rows, rows_grain, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    for (std::size_t row = begin; row < end; ++row) {
      r_[row] = ops_.training().rms_norm_backward(x + row * dim, weight, dy + row * dim, shape_.norm_eps, shape_.dim,
                                                  dx + row * dim);
    }
  });
  ops_.each_run(dim, columns_grain, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    ops_.training().rms_norm_weight_backward(x + begin, dy + begin, dim, r_.data(), rows,
                                             static_cast<std::uint32_t>(end - begin), dweight + begin);
  });
}

void LlamaGradient::rotate(const MicroBatch& batch, float* x, std::uint32_t heads, bool back) {
  const std::uint32_t half = shape_.head_dim / 2;
  ops_.each_run(batch.rows(), rows_grain, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    for (std::size_t row = begin; row < end; ++row) {
      const std::size_t table = row % batch.length * half;
      const float* const sin = (back ? minus_sin_ : sin_).data() + table;
      for (std::uint32_t head = 0; head < heads; ++head)
        ops_.table().rope(x + (row * heads + head) * shape_.head_dim, cos_.data() + table, sin, half);
    }
  });
}

void LlamaGradient::forward(const float* weights, const MicroBatch& batch) {
  reserve(batch);
  const std::uint32_t rows = batch.rows(), dim = shape_.dim, ffn = shape_.ffn_dim;
  const auto weight = [&](const Parameter& parameter) { return weights + parameter.offset; };
  const float* const embedding = weight(layout_.embedding());
  ops_.each_run(rows, rows_grain, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    for (std::size_t row = begin; row < end; ++row) {
      const auto token = static_cast<std::size_t>(batch.inputs[row]);
      std::memcpy(x_.data() + row * dim, embedding + token * dim, dim * sizeof(float));
    }
  });
  for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
    LayerActivations& a = layers_[layer];
    const auto of = [&](LayerTensor tensor) { return weight(layout_.layer(layer, tensor)); };
    const auto project = [&](const AlignedBuffer<float>& in, std::uint32_t k, LayerTensor tensor, std::uint32_t n,
                             float* out, bool accumulate) {
      ops_.multiply(MatrixOperand::plain(in.data(), k), MatrixOperand::turned(of(tensor), k), rows, n, k, out,
                    accumulate);
    };
    const std::size_t bytes = std::size_t{rows} * dim * sizeof(float);
    std::memcpy(a.x.data(), x_.data(), bytes);
    norm_rows(x_.data(), of(LayerTensor::attn_norm), rows, a.attn_normed.data());
    project(a.attn_normed, dim, LayerTensor::attn_q, width_, a.q.data(), false);
    project(a.attn_normed, dim, LayerTensor::attn_k, kv_width_, a.k.data(), false);
    project(a.attn_normed, dim, LayerTensor::attn_v, kv_width_, a.v.data(), false);
    rotate(batch, a.q.data(), shape_.heads, false);
    rotate(batch, a.k.data(), shape_.kv_heads, false);
    attention_forward(batch, a);
    project(a.attended, width_, LayerTensor::attn_out, dim, x_.data(), true);
    std::memcpy(a.middle.data(), x_.data(), bytes);
    norm_rows(x_.data(), of(LayerTensor::ffn_norm), rows, a.ffn_normed.data());
    project(a.ffn_normed, dim, LayerTensor::ffn_gate, ffn, a.gate.data(), false);
    project(a.ffn_normed, dim, LayerTensor::ffn_up, ffn, a.up.data(), false);
    ops_.each_run(std::size_t{rows} * ffn, 1024, [&](std::size_t begin, std::size_t end, std::uint32_t) {
      ops_.table().swiglu(a.gate.data() + begin, a.up.data() + begin, end - begin, a.hidden.data() + begin);
    });
    project(a.hidden, ffn, LayerTensor::ffn_down, dim, x_.data(), true);
  }
  norm_rows(x_.data(), weight(layout_.final_norm()), rows, normed_.data());
}

double LlamaGradient::head(const float* weights, const MicroBatch& batch, float factor, float* gradient) {
  const std::uint32_t rows = batch.rows(), dim = shape_.dim, vocabulary = shape_.vocab_size;
  const float* const matrix = weights + layout_.head().offset;
  std::vector<double> losses(rows);
  for (std::uint32_t first = 0; first < rows; first += head_rows) {
    const std::uint32_t count = std::min(head_rows, rows - first);
    const float* const normed = normed_.data() + std::size_t{first} * dim;
    ops_.multiply(MatrixOperand::plain(normed, dim), MatrixOperand::turned(matrix, dim), count, vocabulary, dim,
                  logits_.data(), false);
    ops_.each_run(count, rows_grain, [&](std::size_t begin, std::size_t end, std::uint32_t) {
      for (std::size_t row = begin; row < end; ++row) {
        float* const logits = logits_.data() + row * vocabulary;
        const TokenId target = batch.targets[first + row];
        if (target < 0) {
          std::memset(logits, 0, vocabulary * sizeof(float));
          continue;
        }
        const float wanted = logits[target];
        const tessera_softmax_sums sums = ops_.training().softmax(logits, 1.0f, vocabulary, logits);
        losses[first + row] =
            exact::log(static_cast<double>(sums.sum)) - (static_cast<double>(wanted) - static_cast<double>(sums.max));
        logits[target] = logits[target] - 1.0f;
        if (gradient != nullptr) ops_.table().scale(logits, vocabulary, factor, logits);
      }
    });
    if (gradient == nullptr) continue;
    ops_.multiply(MatrixOperand::plain(logits_.data(), vocabulary), MatrixOperand::plain(matrix, dim), count, dim,
                  vocabulary, d_normed_.data() + std::size_t{first} * dim, false);
    ops_.multiply(MatrixOperand::turned(logits_.data(), vocabulary), MatrixOperand::plain(normed, dim), vocabulary, dim,
                  count, gradient + layout_.head().offset, true);
  }
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return sum;
}

double LlamaGradient::loss(const float* weights, const MicroBatch& batch) {
  forward(weights, batch);
  return head(weights, batch, 0, nullptr);
}

void LlamaGradient::layer_backward(const float* weights, const MicroBatch& batch, std::uint32_t layer,
                                   float* gradient) {
  const LayerActivations& a = layers_[layer];
  const std::uint32_t rows = batch.rows(), dim = shape_.dim, ffn = shape_.ffn_dim;
  const auto of = [&](LayerTensor tensor) { return weights + layout_.layer(layer, tensor).offset; };
  const auto gradient_of = [&](LayerTensor tensor) { return gradient + layout_.layer(layer, tensor).offset; };
  // y = x Wᵀ with W [n][k]: dW = dyᵀ x, dx = dy W.
  const auto weight_gradient = [&](const float* dy, std::uint32_t n, const AlignedBuffer<float>& x, std::uint32_t k,
                                   LayerTensor tensor) {
    ops_.multiply(MatrixOperand::turned(dy, n), MatrixOperand::plain(x.data(), k), n, k, rows, gradient_of(tensor),
                  false);
  };
  const auto input_gradient = [&](const float* dy, std::uint32_t n, LayerTensor tensor, std::uint32_t k, float* dx,
                                  bool accumulate) {
    ops_.multiply(MatrixOperand::plain(dy, n), MatrixOperand::plain(of(tensor), k), rows, k, n, dx, accumulate);
  };
  input_gradient(dx_.data(), dim, LayerTensor::ffn_down, ffn, d_wide_.data(), false);
  weight_gradient(dx_.data(), dim, a.hidden, ffn, LayerTensor::ffn_down);
  ops_.each_run(std::size_t{rows} * ffn, 1024, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    ops_.training().swiglu_backward(a.gate.data() + begin, a.up.data() + begin, d_wide_.data() + begin, end - begin,
                                    d_wide_.data() + begin, d_wide2_.data() + begin);
  });
  weight_gradient(d_wide_.data(), ffn, a.ffn_normed, dim, LayerTensor::ffn_gate);
  weight_gradient(d_wide2_.data(), ffn, a.ffn_normed, dim, LayerTensor::ffn_up);
  input_gradient(d_wide_.data(), ffn, LayerTensor::ffn_gate, dim, d_normed_.data(), false);
  input_gradient(d_wide2_.data(), ffn, LayerTensor::ffn_up, dim, d_normed_.data(), true);
  norm_backward(a.middle.data(), of(LayerTensor::ffn_norm), d_normed_.data(), rows, dx_.data(),
                gradient_of(LayerTensor::ffn_norm));

  input_gradient(dx_.data(), dim, LayerTensor::attn_out, width_, d_attended_.data(), false);
  weight_gradient(dx_.data(), dim, a.attended, width_, LayerTensor::attn_out);
  attention_backward(batch, a);
  rotate(batch, dq_.data(), shape_.heads, true);
  rotate(batch, dk_.data(), shape_.kv_heads, true);
  weight_gradient(dq_.data(), width_, a.attn_normed, dim, LayerTensor::attn_q);
  weight_gradient(dk_.data(), kv_width_, a.attn_normed, dim, LayerTensor::attn_k);
  weight_gradient(dv_.data(), kv_width_, a.attn_normed, dim, LayerTensor::attn_v);
  input_gradient(dq_.data(), width_, LayerTensor::attn_q, dim, d_normed_.data(), false);
  input_gradient(dk_.data(), kv_width_, LayerTensor::attn_k, dim, d_normed_.data(), true);
  input_gradient(dv_.data(), kv_width_, LayerTensor::attn_v, dim, d_normed_.data(), true);
  norm_backward(a.x.data(), of(LayerTensor::attn_norm), d_normed_.data(), rows, dx_.data(),
                gradient_of(LayerTensor::attn_norm));
}

double LlamaGradient::gradient(const float* weights, const MicroBatch& batch, float factor, float* gradient) {
  forward(weights, batch);
  std::memset(gradient, 0, layout_.size() * sizeof(float));
  const double loss = head(weights, batch, factor, gradient);
  const std::size_t rows = batch.rows(), dim = shape_.dim;
  std::memset(dx_.data(), 0, rows * dim * sizeof(float));
  norm_backward(x_.data(), weights + layout_.final_norm().offset, d_normed_.data(), batch.rows(), dx_.data(),
                gradient + layout_.final_norm().offset);
  for (std::uint32_t layer = shape_.layers; layer > 0; --layer) layer_backward(weights, batch, layer - 1, gradient);
  // Tokens in order, each thread its own columns.
  float* const embedding = gradient + layout_.embedding().offset;
  ops_.each_run(dim, columns_grain, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    for (std::size_t row = 0; row < rows; ++row) {
      float* const to = embedding + static_cast<std::size_t>(batch.inputs[row]) * dim + begin;
      ops_.table().add(to, dx_.data() + row * dim + begin, end - begin, to);
    }
  });
  return loss;
}

}  // namespace tessera
