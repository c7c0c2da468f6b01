#include "runtime/importers/tensor_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <tbb/blocked_range.h>
#include <tbb/parallel_reduce.h>
#include <variant>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/half.hpp"
#include "runtime/tensor/packed_layout.hpp"
#include "runtime/tensor/quantise.hpp"
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

namespace {

template <typename Value>
Result<void> resize(std::vector<Value>& out, std::uint64_t count, const std::string& what) {
  try {
    if (out.capacity() < count) std::vector<Value>().swap(out);
    out.resize(count);
  } catch (const std::exception&) {  // std::bad_alloc or std::length_error
    return Error{ErrorCode::exhausted,
                 what + ": needs " + std::to_string(count) + " values in memory, which are not there"};
  }
  return {};
}

/// The least index below `count` that `is_bad`, or `count`.
template <typename IsBad>
std::size_t first_bad(std::size_t count, std::size_t grain, const IsBad& first_in) {
  return tbb::parallel_reduce(
      tbb::blocked_range<std::size_t>(0, count, grain), count,
      [&](const tbb::blocked_range<std::size_t>& range, std::size_t first) {
        const std::size_t index = first_in(range.begin(), range.end());
        return index == range.end() ? first : std::min(first, index);
      },
      [](std::size_t a, std::size_t b) { return std::min(a, b); });
}

}  // namespace

Result<void> resize_values(std::vector<float>& out, std::uint64_t count, const std::string& what) {
  return resize(out, count, what);
}

Result<void> resize_values(std::vector<std::byte>& out, std::uint64_t count, const std::string& what) {
  return resize(out, count, what);
}

Result<void> check_values(DType dtype, const std::vector<float>& values, const MatrixSize& size,
                          const std::string& what) {
  TESSERA_ENSURE(values.size() == size.count());
  const std::size_t bad = first_bad(values.size(), std::size_t{1} << 18, [&](std::size_t begin, std::size_t end) {
    return begin + first_unpackable(dtype, values.data() + begin, end - begin);
  });
  if (bad == values.size()) return {};
  return Error{ErrorCode::corrupt, what + ", row " + std::to_string(bad / size.columns) + ", column " +
                                       std::to_string(bad % size.columns) + ": the value " +
                                       std::to_string(values[bad]) + " cannot be stored as " + to_string(dtype) +
                                       "; the file is damaged, or its model was not trained to an end"};
}

Result<void> check_blocks(DType dtype, std::span<const std::byte> blocks, const MatrixSize& size,
                          const std::string& what) {
  const std::size_t block_bytes = dtype == DType::q8 ? sizeof(Q8Block) : sizeof(Q4Block);
  const std::size_t count = blocks.size() / block_bytes, row_blocks = size.columns / 32;
  TESSERA_ENSURE(blocks.size() == size.rows * row_blocks * block_bytes);
  const auto scale_of = [&](std::size_t block) {
    std::uint16_t bits;
    std::memcpy(&bits, blocks.data() + block * block_bytes, sizeof bits);
    return f16_to_f32(bits);
  };
  const std::size_t bad = first_bad(count, std::size_t{1} << 14, [&](std::size_t begin, std::size_t end) {
    while (begin < end && std::isfinite(scale_of(begin))) ++begin;
    return begin;
  });
  if (bad == count) return {};
  return Error{ErrorCode::corrupt, what + ", row " + std::to_string(bad / row_blocks) + ", columns from " +
                                       std::to_string(bad % row_blocks * 32) + ": the scale " +
                                       std::to_string(scale_of(bad)) +
                                       " is no finite number; the file is damaged: fetch it again"};
}

}  // namespace tessera
