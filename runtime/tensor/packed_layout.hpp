// PackedLayout: where each output row and column of a weight matrix lies in a checkpoint.
//
// A matrix is cut into units (slices) along its split axis; a unit is a run of tiles of 16 output rows; a tile is laid
// out as kernels/abi/kernel_abi.h says. Units follow each other in slice order:
//
//   dataset:  | unit 0: tile 0, tile 1, … | unit 1: … | … | last unit (may have fewer tiles) |
//
// split rows (column-parallel: Q, K, V, gate, up, embedding, head): unit u holds rows u*slice .. u*slice+slice-1, all
// columns. split columns (row-parallel: attention output, FFN down): unit u holds all rows, columns u*slice .. ,
// zero-padded to a multiple of 32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/tensor/dtype.hpp"

namespace tessera {

enum class SplitAxis : std::uint8_t { rows, columns };

struct PackedLayout {
  DType dtype = DType::f32;
  SplitAxis split = SplitAxis::rows;
  std::uint32_t rows = 0;     ///< output rows of the whole matrix
  std::uint32_t columns = 0;  ///< K of the whole matrix
  std::uint32_t slice = 0;    ///< rows or columns per unit, along the split axis

  bool operator==(const PackedLayout&) const = default;

  std::uint32_t units() const;
  /// First logical row (split rows) or column (split columns) of a unit, and how many real ones it holds.
  std::uint32_t unit_begin(std::uint32_t unit) const { return unit * slice; }
  std::uint32_t unit_extent(std::uint32_t unit) const;

  /// Tiles of 16 rows in a unit; only the last unit of a row split can have fewer.
  std::uint32_t unit_tiles(std::uint32_t unit) const;
  /// Elements reduced in every unit. Split rows: the columns, up to a multiple of 1 (f32), 2 (bf16) or 32 (q8, q4);
  /// split columns: a multiple of 32.
  std::uint32_t unit_k() const;
  /// Blocks of 32 along K in every unit.
  std::uint32_t unit_blocks() const { return (unit_k() + 31) / 32; }

  std::size_t tile_bytes() const;  ///< a multiple of 64
  /// Bytes of the f16 scales at the start of a q8 or q4 tile (a multiple of 64); 0 for f32 and bf16.
  std::size_t tile_scale_bytes() const;
  std::size_t unit_bytes(std::uint32_t unit) const { return unit_tiles(unit) * tile_bytes(); }
  std::size_t unit_offset(std::uint32_t unit) const;  ///< unit may be units(): the end
  std::size_t bytes() const { return unit_offset(units()); }
};

/// The plain row-major matrix that a unit is packed from: row r at data + r * columns.
struct MatrixView {
  const float* data = nullptr;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
};

/// Packs one unit of `matrix` into `out` (layout.unit_bytes(unit) bytes, 64-byte aligned), rounding or quantising as
/// the layout's dtype says. Scalar and deterministic. Every element must be one that the dtype can hold: the caller has
/// checked (see first_unpackable). Any thread.
void pack_unit(const PackedLayout& layout, std::uint32_t unit, const MatrixView& matrix, std::byte* out);

/// A row-major matrix that is quantised already: in each row whole blocks of 32, Q8Block or Q4Block (quantise.hpp).
struct BlockMatrixView {
  const std::byte* data = nullptr;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;  ///< a multiple of 32
};

/// The same for blocks of the layout's dtype (q8 or q4), which are taken over as they are. Scales must be finite.
void pack_unit(const PackedLayout& layout, std::uint32_t unit, const BlockMatrixView& matrix, std::byte* out);

/// Index of the first element that the dtype cannot hold (NaN, infinity, what bf16 rounds to infinity, what is beyond
/// the range of an f16 scale), or `count`.
std::size_t first_unpackable(DType dtype, const float* values, std::size_t count);

/// One logical row of a packed matrix, dequantised: layout.columns values. `dataset` is the whole matrix. Any thread.
void unpack_row(const PackedLayout& layout, const std::byte* dataset, std::uint32_t row, float* out);

/// The value that a packed matrix holds at logical (row, column), dequantised. Slow: for tests and reports.
float unpack_element(const PackedLayout& layout, const std::byte* dataset, std::uint32_t row, std::uint32_t column);

}  // namespace tessera
