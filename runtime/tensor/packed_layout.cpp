#include "runtime/tensor/packed_layout.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/half.hpp"
#include "runtime/tensor/quantise.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t tile_rows = 16;
constexpr std::uint32_t block_columns = 32;

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }
std::size_t round_up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// Columns along K that cannot be cut apart.
std::uint32_t columns_together(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 1;
    case DType::bf16:
      return 2;
    case DType::q8:
    case DType::q4:
      return block_columns;
  }
  TESSERA_ENSURE(false);
}

/// Bytes of one column together with its neighbours, 16 rows, without scales.
std::size_t bytes_together(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return tile_rows * sizeof(float);
    case DType::bf16:
      return tile_rows * 2 * sizeof(std::uint16_t);
    case DType::q8:
      return tile_rows * block_columns;
    case DType::q4:
      return tile_rows * block_columns / 2;
  }
  TESSERA_ENSURE(false);
}

/// Byte of (lane, k) behind the scales of one tile; for q4 the byte that holds its nibble.
std::size_t value_offset(DType dtype, std::uint32_t lane, std::uint32_t k) {
  const std::size_t before = k / columns_together(dtype) * bytes_together(dtype);
  const auto in_fours = [&](std::uint32_t i) { return (std::size_t{i / 4} * tile_rows + lane) * 4 + i % 4; };
  switch (dtype) {
    case DType::f32:
      return before + lane * sizeof(float);
    case DType::bf16:
      return before + (lane * 2 + k % 2) * sizeof(std::uint16_t);
    case DType::q8:
      return before + in_fours(k % block_columns);
    case DType::q4:
      return before + in_fours(k % 16);
  }
  TESSERA_ENSURE(false);
}

template <typename T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

struct Place {
  std::uint32_t unit, tile, lane, k;
};

Place place_of(const PackedLayout& layout, std::uint32_t row, std::uint32_t column) {
  TESSERA_ENSURE(row < layout.rows && column < layout.columns);
  if (layout.split == SplitAxis::rows) {
    const std::uint32_t local = row % layout.slice;
    return {row / layout.slice, local / tile_rows, local % tile_rows, column};
  }
  return {column / layout.slice, row / tile_rows, row % tile_rows, column % layout.slice};
}

/// The part of one output row that a unit holds: its row, and its real columns.
struct RowPart {
  std::uint32_t row = 0;
  std::uint32_t begin = 0;
  std::uint32_t count = 0;  ///< 0: the row is padding
};

RowPart row_part(const PackedLayout& layout, std::uint32_t unit, std::uint32_t local_row) {
  if (layout.split == SplitAxis::rows) {
    if (local_row >= layout.unit_extent(unit)) return {};
    return {layout.unit_begin(unit) + local_row, 0, layout.columns};
  }
  if (local_row >= layout.rows) return {};
  return {local_row, layout.unit_begin(unit), layout.unit_extent(unit)};
}

/// One lane of a tile, behind its scales.
struct LaneOut {
  const PackedLayout& layout;
  std::uint32_t lane;
  std::byte* tile;

  template <typename T>
  void put(std::uint32_t k, T value) const {
    std::memcpy(tile + layout.tile_scale_bytes() + value_offset(layout.dtype, lane, k), &value, sizeof value);
  }
  void put_scale(std::uint32_t block, std::uint16_t scale) const {
    std::memcpy(tile + (std::size_t{block} * tile_rows + lane) * 2, &scale, sizeof scale);
  }
};

void put_block(const Q8Block& quantised, std::uint32_t block, const LaneOut& out) {
  out.put_scale(block, quantised.scale);
  for (std::uint32_t i = 0; i < block_columns; ++i) {
    out.put(block * block_columns + i, static_cast<std::uint8_t>(quantised.values[i] + 128));
  }
}

void put_block(const Q4Block& quantised, std::uint32_t block, const LaneOut& out) {
  out.put_scale(block, quantised.scale);
  for (std::uint32_t i = 0; i < 16; ++i) out.put(block * block_columns + i, quantised.nibbles[i]);
}

void pack_block_q8(const float* values, std::uint32_t count, std::uint32_t block, const LaneOut& out) {
  Q8Block quantised;
  quantised.scale = quantize_q8_block(values, count, quantised.values);
  put_block(quantised, block, out);
}

void pack_block_q4(const float* values, std::uint32_t count, std::uint32_t block, const LaneOut& out) {
  put_block(quantize_q4_block(values, count), block, out);
}

/// The tile is zero as it comes.
void pack_row(const RowPart& part, const MatrixView& matrix, const LaneOut& out) {
  const float* const values =
      part.count > 0 ? matrix.data + std::size_t{part.row} * matrix.columns + part.begin : nullptr;
  const auto blocks = [&](auto pack_block) {
    for (std::uint32_t block = 0; block < out.layout.unit_blocks(); ++block) {
      const std::uint32_t begin = block * block_columns;
      const std::uint32_t count = part.count > begin ? std::min(block_columns, part.count - begin) : 0;
      pack_block(count > 0 ? values + begin : nullptr, count, block, out);
    }
  };
  switch (out.layout.dtype) {
    case DType::f32:
      for (std::uint32_t k = 0; k < part.count; ++k) out.put(k, values[k]);
      return;
    case DType::bf16:
      for (std::uint32_t k = 0; k < part.count; ++k) out.put(k, f32_to_bf16(values[k]));
      return;
    case DType::q8:
      return blocks(pack_block_q8);
    case DType::q4:
      return blocks(pack_block_q4);
  }
}

/// Padding is blocks of zeros, as quantising gives.
template <typename Block>
void pack_block_row(const RowPart& part, const BlockMatrixView& matrix, const LaneOut& out) {
  const std::size_t row_blocks = matrix.columns / block_columns;
  const std::byte* const from = matrix.data + (part.row * row_blocks + part.begin / block_columns) * sizeof(Block);
  for (std::uint32_t block = 0; block < out.layout.unit_blocks(); ++block) {
    if (block * block_columns < part.count) {
      put_block(load<Block>(from + block * sizeof(Block)), block, out);
    } else if constexpr (std::is_same_v<Block, Q8Block>) {
      pack_block_q8(nullptr, 0, block, out);
    } else {
      pack_block_q4(nullptr, 0, block, out);
    }
  }
}

/// `pack(row part, lane)` for every lane of every tile.
template <typename PackRow>
void pack_tiles(const PackedLayout& layout, std::uint32_t unit, std::byte* out, const PackRow& pack) {
  std::memset(out, 0, layout.unit_bytes(unit));
  for (std::uint32_t tile = 0; tile < layout.unit_tiles(unit); ++tile) {
    std::byte* const tile_out = out + tile * layout.tile_bytes();
    for (std::uint32_t lane = 0; lane < tile_rows; ++lane) {
      pack(row_part(layout, unit, tile * tile_rows + lane), LaneOut{layout, lane, tile_out});
    }
  }
}

/// The largest magnitude that the dtype can hold.
float magnitude_max(DType dtype) {
  constexpr float f16_max = 65504.0f;
  switch (dtype) {
    case DType::f32:
      return 0x1.fffffep127f;
    case DType::bf16:
      return 0x1.fefffep127f;  // the next float rounds to infinity
    case DType::q8:
      return f16_max * 127.0f;
    case DType::q4:
      return f16_max * 8.0f;
  }
  TESSERA_ENSURE(false);
}

}  // namespace

std::uint32_t PackedLayout::units() const { return divide_up(split == SplitAxis::rows ? rows : columns, slice); }

std::uint32_t PackedLayout::unit_extent(std::uint32_t unit) const {
  return std::min(slice, (split == SplitAxis::rows ? rows : columns) - unit_begin(unit));
}

std::uint32_t PackedLayout::unit_tiles(std::uint32_t unit) const {
  return divide_up(split == SplitAxis::rows ? unit_extent(unit) : rows, tile_rows);
}

std::uint32_t PackedLayout::unit_k() const {
  if (split == SplitAxis::columns) return divide_up(slice, block_columns) * block_columns;
  const std::uint32_t together = columns_together(dtype);
  return divide_up(columns, together) * together;
}

std::size_t PackedLayout::tile_scale_bytes() const {
  switch (dtype) {
    case DType::f32:
    case DType::bf16:
      return 0;
    case DType::q8:
    case DType::q4:
      return round_up(std::size_t{unit_blocks()} * tile_rows * 2, 64);
  }
  TESSERA_ENSURE(false);
}

std::size_t PackedLayout::tile_bytes() const {
  return tile_scale_bytes() + unit_k() / columns_together(dtype) * bytes_together(dtype);
}

std::size_t PackedLayout::unit_offset(std::uint32_t unit) const {
  if (unit == 0) return 0;
  // All units but the last are equal, and a unit before the last is full.
  const std::size_t before =
      std::size_t{unit - 1} * (split == SplitAxis::rows ? divide_up(slice, tile_rows) : unit_tiles(0));
  return (before + unit_tiles(unit - 1)) * tile_bytes();
}

void pack_unit(const PackedLayout& layout, std::uint32_t unit, const MatrixView& matrix, std::byte* out) {
  TESSERA_ENSURE(matrix.rows == layout.rows && matrix.columns == layout.columns && unit < layout.units());
  pack_tiles(layout, unit, out, [&](const RowPart& part, const LaneOut& lane) { pack_row(part, matrix, lane); });
}

void pack_unit(const PackedLayout& layout, std::uint32_t unit, const BlockMatrixView& matrix, std::byte* out) {
  TESSERA_ENSURE(matrix.rows == layout.rows && matrix.columns == layout.columns && unit < layout.units());
  TESSERA_ENSURE(matrix.columns % block_columns == 0);
  // Units begin where blocks do.
  TESSERA_ENSURE(layout.split == SplitAxis::rows || layout.units() == 1 || layout.slice % block_columns == 0);
  TESSERA_ENSURE(layout.dtype == DType::q8 || layout.dtype == DType::q4);
  pack_tiles(layout, unit, out, [&](const RowPart& part, const LaneOut& lane) {
    if (layout.dtype == DType::q8) {
      pack_block_row<Q8Block>(part, matrix, lane);
    } else {
      pack_block_row<Q4Block>(part, matrix, lane);
    }
  });
}

std::size_t first_unpackable(DType dtype, const float* values, std::size_t count) {
  const float limit = magnitude_max(dtype);
  for (std::size_t i = 0; i < count; ++i) {
    if (!(std::fabs(values[i]) <= limit)) return i;
  }
  return count;
}

void unpack_row(const PackedLayout& layout, const std::byte* dataset, std::uint32_t row, float* out) {
  for (std::uint32_t column = 0; column < layout.columns; ++column) {
    out[column] = unpack_element(layout, dataset, row, column);
  }
}

float unpack_element(const PackedLayout& layout, const std::byte* dataset, std::uint32_t row, std::uint32_t column) {
  const Place place = place_of(layout, row, column);
  const std::byte* const tile = dataset + layout.unit_offset(place.unit) + place.tile * layout.tile_bytes();
  const std::byte* const value = tile + layout.tile_scale_bytes() + value_offset(layout.dtype, place.lane, place.k);
  const auto scale = [&] {
    return f16_to_f32(load<std::uint16_t>(tile + (std::size_t{place.k / block_columns} * tile_rows + place.lane) * 2));
  };
  switch (layout.dtype) {
    case DType::f32:
      return load<float>(value);
    case DType::bf16:
      return bf16_to_f32(load<std::uint16_t>(value));
    case DType::q8:
      return static_cast<float>(static_cast<int>(*value) - 128) * scale();
    case DType::q4: {
      const int both = static_cast<int>(*value);
      return static_cast<float>((place.k % block_columns < 16 ? both & 15 : both >> 4) - 8) * scale();
    }
  }
  TESSERA_ENSURE(false);
}

}  // namespace tessera
