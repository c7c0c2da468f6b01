// ParameterLayout: where every weight of a model lies in one flat array of floats. Weights, gradients and the
// optimizer's moments share it, so that the optimizer is one loop and a gradient is added to another in one.
//
//   | embedding [vocabulary][dim] | layer 0: attn_norm, attn_q [heads * head_dim][dim], … | … | final_norm | head |
//
// Matrices are row-major, output rows first, in the order of model_tensors(); each starts at a multiple of 16 floats,
// and the gap before it stays zero. A value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera {

/// Tensors of a layer of a plain Llama: the first ones of LayerTensor, in its order.
inline constexpr std::size_t plain_layer_tensors = static_cast<std::size_t>(LayerTensor::ffn_down) + 1;

struct Parameter {
  std::string name;        ///< of model_tensors()
  std::uint32_t rows = 0;  ///< 1 for a vector
  std::uint32_t columns = 0;
  std::size_t offset = 0;  ///< floats
  bool is_matrix = false;

  std::size_t count() const { return std::size_t{rows} * columns; }
};

class ParameterLayout {
 public:
  /// `shape` is valid, and its blocks are those of a plain Llama: no others can be trained.
  explicit ParameterLayout(const ModelShape& shape);

  const std::vector<Parameter>& all() const { return parameters_; }
  /// Floats of the array.
  std::size_t size() const { return size_; }
  /// Weights without the gaps.
  std::size_t weights() const { return weights_; }

  const Parameter& embedding() const { return parameters_.front(); }
  const Parameter& layer(std::uint32_t layer, LayerTensor tensor) const {
    return parameters_[1 + std::size_t{layer} * plain_layer_tensors + static_cast<std::size_t>(tensor)];
  }
  const Parameter& final_norm() const { return parameters_[final_norm_]; }
  /// The embedding where the head is tied.
  const Parameter& head() const { return tied_ ? parameters_.front() : parameters_.back(); }

 private:
  std::vector<Parameter> parameters_;
  std::size_t final_norm_ = 0;
  std::size_t size_ = 0;
  std::size_t weights_ = 0;
  bool tied_ = false;
};

}  // namespace tessera
