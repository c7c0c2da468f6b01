#include "runtime/training/parameters.hpp"

#include <variant>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

constexpr std::size_t alignment_floats = 16;

}  // namespace

ParameterLayout::ParameterLayout(const ModelShape& shape) : tied_(shape.tied_head) {
  TESSERA_ENSURE(shape.plan == BlockPlan{});
  const SliceGeometry geometry = SliceGeometry::of(shape);
  for (const TensorSpec& spec : model_tensors(shape, geometry, DType::f32)) {
    Parameter parameter;
    parameter.name = spec.name;
    if (const auto* const packed = std::get_if<PackedLayout>(&spec.layout)) {
      parameter.rows = packed->rows;
      parameter.columns = packed->columns;
      parameter.is_matrix = true;
    } else {
      parameter.rows = 1;
      parameter.columns = std::get<VectorLayout>(spec.layout).count;
    }
    parameter.offset = size_;
    if (spec.name == final_norm_name) final_norm_ = parameters_.size();
    weights_ += parameter.count();
    size_ += (parameter.count() + alignment_floats - 1) / alignment_floats * alignment_floats;
    parameters_.push_back(std::move(parameter));
  }
  TESSERA_ENSURE(parameters_.front().name == embedding_name && final_norm_ == 1 + shape.layers * plain_layer_tensors);
}

}  // namespace tessera
