#include "tests/unit/training/float64_loss.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::test {

namespace {

using Vector = std::vector<double>;

class Model {
 public:
  Model(const ModelShape& shape, std::span<const double> weights) : shape_(shape), layout_(shape), weights_(weights) {}

  double sequence_loss(std::span<const TokenId> inputs, std::span<const TokenId> targets) {
    keys_.assign(shape_.layers, {});
    values_.assign(shape_.layers, {});
    double loss = 0;
    for (std::size_t position = 0; position < inputs.size(); ++position) {
      const Vector logits = step(inputs[position], position);
      if (targets[position] < 0) continue;
      const double most = *std::max_element(logits.begin(), logits.end());
      double sum = 0;
      for (const double z : logits) sum += std::exp(z - most);
      loss += std::log(sum) + most - logits[static_cast<std::size_t>(targets[position])];
    }
    return loss;
  }

 private:
  Vector times(const Parameter& matrix, const Vector& x) const {
    Vector y(matrix.rows);
    for (std::size_t r = 0; r < matrix.rows; ++r)
      for (std::size_t c = 0; c < matrix.columns; ++c) y[r] += weights_[matrix.offset + r * matrix.columns + c] * x[c];
    return y;
  }

  Vector norm(const Parameter& weight, const Vector& x) const {
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double r = 1 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(shape_.norm_eps));
    Vector y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * r * weights_[weight.offset + i];
    return y;
  }

  void turn(Vector& x, std::size_t position) const {
    const std::size_t half = shape_.head_dim / 2;
    for (std::size_t head = 0; head < x.size() / shape_.head_dim; ++head) {
      for (std::size_t i = 0; i < half; ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(shape_.head_dim);
        const double angle = static_cast<double>(position) * std::pow(shape_.rope_theta, exponent);
        double& a = x[head * shape_.head_dim + i];
        double& b = x[head * shape_.head_dim + half + i];
        const double turned = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a * std::sin(angle);
        a = turned;
      }
    }
  }

  Vector attend(std::uint32_t layer, const Vector& q) const {
    const std::size_t d = shape_.head_dim;
    Vector out(q.size());
    for (std::size_t head = 0; head < shape_.heads; ++head) {
      const std::size_t kv = head / shape_.queries_per_kv_head() * d;
      Vector scores;
      for (const Vector& k : keys_[layer]) {
        double dot = 0;
        for (std::size_t i = 0; i < d; ++i) dot += q[head * d + i] * k[kv + i];
        scores.push_back(dot / std::sqrt(static_cast<double>(d)));
      }
      const double most = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (double& score : scores) sum += score = std::exp(score - most);
      for (std::size_t p = 0; p < scores.size(); ++p)
        for (std::size_t i = 0; i < d; ++i) out[head * d + i] += scores[p] / sum * values_[layer][p][kv + i];
    }
    return out;
  }

  Vector step(TokenId token, std::size_t position) {
    const auto of = [&](std::uint32_t layer, LayerTensor tensor) -> const Parameter& {
      return layout_.layer(layer, tensor);
    };
    const auto add = [](Vector& x, const Vector& y) {
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
    };
    Vector x(shape_.dim);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = weights_[layout_.embedding().offset + static_cast<std::size_t>(token) * shape_.dim + i];
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      Vector n = norm(of(layer, LayerTensor::attn_norm), x);
      Vector q = times(of(layer, LayerTensor::attn_q), n), k = times(of(layer, LayerTensor::attn_k), n);
      turn(q, position);
      turn(k, position);
      keys_[layer].push_back(k);
      values_[layer].push_back(times(of(layer, LayerTensor::attn_v), n));
      add(x, times(of(layer, LayerTensor::attn_out), attend(layer, q)));
      n = norm(of(layer, LayerTensor::ffn_norm), x);
      const Vector gate = times(of(layer, LayerTensor::ffn_gate), n);
      Vector hidden = times(of(layer, LayerTensor::ffn_up), n);
      for (std::size_t i = 0; i < hidden.size(); ++i) hidden[i] *= gate[i] / (1 + std::exp(-gate[i]));
      add(x, times(of(layer, LayerTensor::ffn_down), hidden));
    }
    return times(layout_.head(), norm(layout_.final_norm(), x));
  }

  const ModelShape& shape_;
  ParameterLayout layout_;
  std::span<const double> weights_;
  std::vector<std::vector<Vector>> keys_, values_;
};

}  // namespace

double float64_loss(const ModelShape& shape, std::span<const double> weights, const MicroBatch& batch) {
  Model model(shape, weights);
  double loss = 0;
  for (std::size_t i = 0; i < batch.sequences; ++i) {
    const std::size_t first = i * batch.length;
    loss += model.sequence_loss(batch.inputs.subspan(first, batch.length), batch.targets.subspan(first, batch.length));
  }
  return loss;
}

}  // namespace tessera::test
