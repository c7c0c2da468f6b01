#include "runtime/tensor/packed_layout.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/half.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t tile_rows = 16;
constexpr std::uint32_t block_columns = 32;
constexpr std::size_t q8_block_bytes = tile_rows * block_columns;

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }
std::size_t round_up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// Byte of (lane, k) inside the u8 part of one q8 tile.
std::size_t q8_value_offset(std::uint32_t lane, std::uint32_t k) {
  return std::size_t{k / block_columns} * q8_block_bytes + (k % block_columns) / 4 * 64 + lane * 4 + k % 4;
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

/// The part of one output row that a unit holds, as a pointer and a count of real columns.
struct RowPart {
  const float* values;
  std::uint32_t count;
};

RowPart row_part(const PackedLayout& layout, std::uint32_t unit, const MatrixView& matrix, std::uint32_t local_row) {
  if (layout.split == SplitAxis::rows) {
    if (local_row >= layout.unit_extent(unit)) return {nullptr, 0};
    const std::size_t row = std::size_t{layout.unit_begin(unit)} + local_row;
    return {matrix.data + row * matrix.columns, matrix.columns};
  }
  if (local_row >= layout.rows) return {nullptr, 0};
  return {matrix.data + std::size_t{local_row} * matrix.columns + layout.unit_begin(unit), layout.unit_extent(unit)};
}

void pack_row_f32(const RowPart& part, std::uint32_t lane, std::uint32_t k, std::byte* tile) {
  float* const out = reinterpret_cast<float*>(tile);
  for (std::uint32_t i = 0; i < k; ++i) out[std::size_t{i} * tile_rows + lane] = i < part.count ? part.values[i] : 0.0f;
}

void pack_row_q8(const RowPart& part, std::uint32_t lane, const PackedLayout& layout, std::byte* tile) {
  const std::size_t scale_bytes = layout.tile_scale_bytes();
  for (std::uint32_t block = 0; block < layout.unit_blocks(); ++block) {
    const std::uint32_t begin = block * block_columns;
    const std::uint32_t count = part.count > begin ? std::min(block_columns, part.count - begin) : 0;
    std::int8_t values[block_columns];
    const std::uint16_t scale = quantize_q8_block(count > 0 ? part.values + begin : nullptr, count, values);
    std::memcpy(tile + (std::size_t{block} * tile_rows + lane) * 2, &scale, 2);
    for (std::uint32_t i = 0; i < block_columns; ++i) {
      tile[scale_bytes + q8_value_offset(lane, begin + i)] = static_cast<std::byte>(values[i] + 128);
    }
  }
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
  return dtype == DType::f32 ? columns : divide_up(columns, block_columns) * block_columns;
}

std::size_t PackedLayout::tile_scale_bytes() const {
  return dtype == DType::f32 ? 0 : round_up(std::size_t{unit_blocks()} * tile_rows * 2, 64);
}

std::size_t PackedLayout::tile_bytes() const {
  if (dtype == DType::f32) return std::size_t{unit_k()} * tile_rows * sizeof(float);
  return tile_scale_bytes() + std::size_t{unit_blocks()} * q8_block_bytes;
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
  std::memset(out, 0, layout.unit_bytes(unit));
  for (std::uint32_t tile = 0; tile < layout.unit_tiles(unit); ++tile) {
    std::byte* const tile_out = out + tile * layout.tile_bytes();
    for (std::uint32_t lane = 0; lane < tile_rows; ++lane) {
      const RowPart part = row_part(layout, unit, matrix, tile * tile_rows + lane);
      if (layout.dtype == DType::f32) {
        pack_row_f32(part, lane, layout.unit_k(), tile_out);
      } else {
        pack_row_q8(part, lane, layout, tile_out);
      }
    }
  }
}

std::size_t first_unpackable(DType dtype, const float* values, std::size_t count) {
  // 65504 is the largest f16; a block's scale is its largest magnitude / 127.
  const float limit = dtype == DType::f32 ? 0x1.fffffep127f : 65504.0f * 127.0f;
  for (std::size_t i = 0; i < count; ++i) {
    if (!(std::fabs(values[i]) <= limit)) return i;
  }
  return count;
}

std::uint16_t quantize_q8_block(const float* values, std::uint32_t count, std::int8_t* out) {
  float largest = 0;
  for (std::uint32_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[i]));
  const std::uint16_t scale_bits = f32_to_f16(largest / 127.0f);
  const float scale = f16_to_f32(scale_bits);
  for (std::uint32_t i = 0; i < block_columns; ++i) {
    if (i >= count || scale == 0) {
      out[i] = 0;
      continue;
    }
    const float steps = std::clamp(values[i] / scale, -127.0f, 127.0f);
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, ties to even.
    out[i] = static_cast<std::int8_t>((steps + 12582912.0f) - 12582912.0f);
  }
  return scale_bits;
}

PackedQ8Position locate_q8(const PackedLayout& layout, std::uint32_t row, std::uint32_t column) {
  TESSERA_ENSURE(layout.dtype == DType::q8);
  const Place place = place_of(layout, row, column);
  const std::size_t tile = layout.unit_offset(place.unit) + place.tile * layout.tile_bytes();
  return {tile + layout.tile_scale_bytes() + q8_value_offset(place.lane, place.k),
          tile + (std::size_t{place.k / block_columns} * tile_rows + place.lane) * 2};
}

float unpack_element(const PackedLayout& layout, const std::byte* dataset, std::uint32_t row, std::uint32_t column) {
  if (layout.dtype == DType::f32) {
    const Place place = place_of(layout, row, column);
    float value;
    std::memcpy(&value,
                dataset + layout.unit_offset(place.unit) + place.tile * layout.tile_bytes() +
                    (std::size_t{place.k} * tile_rows + place.lane) * sizeof(float),
                sizeof value);
    return value;
  }
  const PackedQ8Position position = locate_q8(layout, row, column);
  std::uint16_t scale;
  std::memcpy(&scale, dataset + position.scale_offset, 2);
  return static_cast<float>(static_cast<int>(dataset[position.value_offset]) - 128) * f16_to_f32(scale);
}

}  // namespace tessera
