#include "runtime/importers/tensor_values.hpp"

#include <algorithm>
#include <exception>
#include <tbb/blocked_range.h>
#include <tbb/parallel_reduce.h>
#include <variant>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/packed_layout.hpp"
#include "runtime/tensor/slices.hpp"

namespace tessera {

MatrixSize matrix_size(const TensorLayout& layout) {
  if (const auto* packed = std::get_if<PackedLayout>(&layout)) return {packed->rows, packed->columns};
  return {1, std::get<VectorLayout>(layout).count};
}

std::vector<NamedMatrix> model_matrices(const ModelShape& shape) {
  std::vector<NamedMatrix> matrices;
  for (TensorSpec& spec : model_tensors(shape, SliceGeometry::of(shape), DType::f32)) {
    matrices.push_back(
        {std::move(spec.name), matrix_size(spec.layout), std::holds_alternative<VectorLayout>(spec.layout)});
  }
  return matrices;
}

Result<void> check_tensor_sizes(const WeightSource& source) {
  for (const NamedMatrix& matrix : model_matrices(source.shape())) {
    if (matrix.size.count() <= limits::import_tensor_values_max) continue;
    return Error{ErrorCode::exhausted, source.describe(matrix.name) + " has " + std::to_string(matrix.size.count()) +
                                           " values; at most " + std::to_string(limits::import_tensor_values_max) +
                                           " can be imported"};
  }
  return {};
}

Result<void> resize_values(std::vector<float>& out, std::uint64_t count, const std::string& what) {
  try {
    if (out.capacity() < count) std::vector<float>().swap(out);
    out.resize(count);
  } catch (const std::exception&) {  // std::bad_alloc or std::length_error
    return Error{ErrorCode::exhausted,
                 what + ": needs " + std::to_string(count) + " values in memory, which are not there"};
  }
  return {};
}

Result<void> check_values(DType dtype, const std::vector<float>& values, const MatrixSize& size,
                          const std::string& what) {
  TESSERA_ENSURE(values.size() == size.count());
  constexpr std::size_t grain = std::size_t{1} << 18;
  const std::size_t bad = tbb::parallel_reduce(
      tbb::blocked_range<std::size_t>(0, values.size(), grain), values.size(),
      [&](const tbb::blocked_range<std::size_t>& range, std::size_t first) {
        const std::size_t index = first_unpackable(dtype, values.data() + range.begin(), range.size());
        return index == range.size() ? first : std::min(first, range.begin() + index);
      },
      [](std::size_t a, std::size_t b) { return std::min(a, b); });
  if (bad == values.size()) return {};
  return Error{ErrorCode::corrupt, what + ", row " + std::to_string(bad / size.columns) + ", column " +
                                       std::to_string(bad % size.columns) + ": the value " +
                                       std::to_string(values[bad]) + " cannot be stored as " + to_string(dtype) +
                                       "; the file is damaged, or its model was not trained to an end"};
}

}  // namespace tessera
