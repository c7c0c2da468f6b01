#include "tests/unit/model/float64_model.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera::test {

namespace {

using Vector = std::vector<double>;

struct Matrix {
  std::uint32_t rows = 0, columns = 0;
  Vector values;

  Vector row(std::uint32_t index) const {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(std::size_t{index} * columns);
    return {begin, begin + columns};
  }
  Vector times(const Vector& x) const {
    Vector y(rows);
    for (std::uint32_t r = 0; r < rows; ++r) {
      for (std::uint32_t c = 0; c < columns; ++c) y[r] += values[std::size_t{r} * columns + c] * x[c];
    }
    return y;
  }
};

Matrix read_matrix(const Checkpoint& checkpoint, const std::string& name) {
  const auto mapped = checkpoint.map_all(name);
  TESSERA_ENSURE(mapped);
  if (const auto* vector = std::get_if<VectorLayout>(&mapped->layout())) {
    const auto* const values = reinterpret_cast<const float*>(mapped->unit(0));
    return {1, vector->count, Vector(values, values + vector->count)};
  }
  const PackedLayout& layout = mapped->packed();
  Matrix matrix{layout.rows, layout.columns, {}};
  for (std::uint32_t row = 0; row < layout.rows; ++row) {
    for (std::uint32_t column = 0; column < layout.columns; ++column) {
      matrix.values.push_back(static_cast<double>(unpack_element(layout, mapped->unit(0), row, column)));
    }
  }
  return matrix;
}

void add(Vector& x, const Vector& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

class Model {
 public:
  explicit Model(const Checkpoint& checkpoint)
      : manifest_(checkpoint.manifest()), shape_(manifest_.shape), keys_(shape_.layers), values_(shape_.layers) {
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      for (int i = 0; i < layer_tensor_count; ++i) {
        const auto tensor = static_cast<LayerTensor>(i);
        layers_.push_back(has_tensor(shape_.plan, layer, tensor)
                              ? read_matrix(checkpoint, layer_tensor_name(layer, tensor))
                              : Matrix{});
      }
    }
    embedding_ = read_matrix(checkpoint, embedding_name);
    final_norm_ = read_matrix(checkpoint, final_norm_name);
    head_ = shape_.tied_head ? embedding_ : read_matrix(checkpoint, head_name);
  }

  Vector next_logits(TokenId token) {
    Vector x = embedding_.row(static_cast<std::uint32_t>(token));
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      Vector h = norm(x, of(layer, LayerTensor::attn_norm));
      keys_[layer].push_back(turned(of(layer, LayerTensor::attn_k).times(h)));
      values_[layer].push_back(of(layer, LayerTensor::attn_v).times(h));
      const Vector attended = attention(turned(of(layer, LayerTensor::attn_q).times(h)), layer);
      add(x, of(layer, LayerTensor::attn_out).times(attended));
      h = norm(x, of(layer, LayerTensor::ffn_norm));
      Vector hidden = of(layer, LayerTensor::ffn_gate).times(h);
      const Vector up = of(layer, LayerTensor::ffn_up).times(h);
      for (std::size_t i = 0; i < hidden.size(); ++i) hidden[i] = hidden[i] / (1 + std::exp(-hidden[i])) * up[i];
      add(x, of(layer, LayerTensor::ffn_down).times(hidden));
    }
    ++position_;
    return head_.times(norm(x, final_norm_));
  }

 private:
  const Matrix& of(std::uint32_t layer, LayerTensor tensor) const {
    return layers_[layer * layer_tensor_count + static_cast<std::size_t>(tensor)];
  }

  Vector norm(const Vector& x, const Matrix& weight) const {
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(shape_.norm_eps));
    Vector y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight.values[i];
    return y;
  }

  /// Rotary position embedding of every head in x.
  Vector turned(const Vector& x) const {
    Vector y = x;
    const std::size_t half = shape_.head_dim / 2;
    for (std::size_t head = 0; head < x.size(); head += shape_.head_dim) {
      for (std::size_t i = 0; i < half; ++i) {
        const double angle = position_ * manifest_.rope_frequencies[i], c = std::cos(angle), s = std::sin(angle);
        y[head + i] = x[head + i] * c - x[head + i + half] * s;
        y[head + i + half] = x[head + i + half] * c + x[head + i] * s;
      }
    }
    return y;
  }

  Vector attention(const Vector& q, std::uint32_t layer) const {
    Vector out(q.size());
    for (std::uint32_t head = 0; head < shape_.heads; ++head) {
      const std::size_t from = std::size_t{head} * shape_.head_dim;
      const std::size_t kv_from = std::size_t{head / shape_.queries_per_kv_head()} * shape_.head_dim;
      Vector scores;
      for (const Vector& key : keys_[layer]) {
        double sum = 0;
        for (std::size_t d = 0; d < shape_.head_dim; ++d) sum += q[from + d] * key[kv_from + d];
        scores.push_back(sum / std::sqrt(static_cast<double>(shape_.head_dim)));
      }
      const double largest = *std::max_element(scores.begin(), scores.end());
      double total = 0;
      for (double& score : scores) total += score = std::exp(score - largest);
      for (std::size_t p = 0; p < scores.size(); ++p) {
        for (std::size_t d = 0; d < shape_.head_dim; ++d) {
          out[from + d] += scores[p] / total * values_[layer][p][kv_from + d];
        }
      }
    }
    return out;
  }

  const Manifest& manifest_;
  const ModelShape& shape_;
  std::vector<Matrix> layers_;  // layer_tensor_count each
  Matrix embedding_, final_norm_, head_;
  std::vector<std::vector<Vector>> keys_, values_;  // per layer and position
  double position_ = 0;
};

}  // namespace

std::vector<double> float64_logits(const Checkpoint& checkpoint, std::span<const TokenId> tokens) {
  Model model(checkpoint);
  std::vector<double> logits;
  for (const TokenId token : tokens) {
    const Vector of_token = model.next_logits(token);
    logits.insert(logits.end(), of_token.begin(), of_token.end());
  }
  return logits;
}

double relative_error(std::span<const float> got, std::span<const double> expected) {
  TESSERA_ENSURE(got.size() == expected.size());
  double error = 0, signal = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += std::pow(static_cast<double>(got[i]) - expected[i], 2);
    signal += std::pow(expected[i], 2);
  }
  return std::sqrt(error / signal);
}

}  // namespace tessera::test
