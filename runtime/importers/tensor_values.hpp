// What the importers share about one tensor: its size, and the memory for its values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera {

namespace limits {
/// Values of one tensor (64 GiB as f32), which an import holds in memory as a whole.
inline constexpr std::uint64_t import_tensor_values_max = std::uint64_t{1} << 34;
}  // namespace limits

struct MatrixSize {
  std::uint32_t rows = 0;  ///< 1 for a vector
  std::uint32_t columns = 0;
  std::uint64_t count() const { return std::uint64_t{rows} * columns; }
};

struct NamedMatrix {
  std::string name;  ///< of model_tensors()
  MatrixSize size;
  bool is_vector = false;
};

MatrixSize matrix_size(const TensorLayout& layout);

/// The tensors of a model with their sizes, in the order of model_tensors().
std::vector<NamedMatrix> model_matrices(const ModelShape& shape);

/// Errors: exhausted, when a tensor of the source is beyond the limit. Called before anything is written.
Result<void> check_tensor_sizes(const WeightSource& source);

/// Makes `out` hold `count` values, without keeping a smaller old buffer beside the new one. Errors: exhausted; `what`
/// names the tensor.
Result<void> resize_values(std::vector<float>& out, std::uint64_t count, const std::string& what);
Result<void> resize_values(std::vector<std::byte>& out, std::uint64_t count, const std::string& what);

/// Errors: corrupt, when a value is not finite or too large for the dtype; names row and column. `what` names file and
/// tensor. Parallel.
Result<void> check_values(DType dtype, const std::vector<float>& values, const MatrixSize& size,
                          const std::string& what);

/// Errors: corrupt, when a scale of the blocks (Q8Block or Q4Block, as the dtype says) is not finite; names row and
/// column. Parallel.
Result<void> check_blocks(DType dtype, std::span<const std::byte> blocks, const MatrixSize& size,
                          const std::string& what);

}  // namespace tessera
