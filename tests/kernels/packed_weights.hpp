// Random weights in the tile layouts of kernels/abi/kernel_abi.h, and their logical values.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/abi/kernel_abi.h"
#include "tests/kernels/guarded_buffer.hpp"
#include "tests/kernels/random_values.hpp"

namespace tessera::test {

/// An f16 as a double.
inline double half_to_double(std::uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const double mantissa = half & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000u) != 0 ? -magnitude : magnitude;
}

/// tiles x float[k][16].
class PackedF32 {
 public:
  PackedF32(Random& random, std::uint32_t tiles, std::uint32_t k, Values kind) : k_(k), data_(tiles * stride_floats()) {
    random.fill(data_, kind);
  }
  const void* data() const { return data_.data(); }
  std::size_t tile_stride() const { return stride_floats() * sizeof(float); }
  const void* tile(std::uint32_t index) const { return data_.data() + index * stride_floats(); }
  double at(std::uint32_t row, std::uint32_t column) const {
    return double{data_[row / TESSERA_LANES * stride_floats() + column * TESSERA_LANES + row % TESSERA_LANES]};
  }

 private:
  std::size_t stride_floats() const { return std::size_t{k_} * TESSERA_LANES; }

  std::uint32_t k_;
  GuardedBuffer<float> data_;
};

/// tiles x (f16 scale[blocks][16], padding to 64 bytes, u8 w[blocks][8][16][4]).
class PackedQ8 {
 public:
  PackedQ8(Random& random, std::uint32_t tiles, std::uint32_t k)
      : blocks_((k + TESSERA_BLOCK - 1) / TESSERA_BLOCK), data_(tiles * tile_stride()) {
    for (std::uint32_t tile = 0; tile < tiles; ++tile) {
      for (std::uint32_t block = 0; block < blocks_; ++block) {
        for (std::uint32_t lane = 0; lane < TESSERA_LANES; ++lane) {
          scales(tile)[block * TESSERA_LANES + lane] = random_half(random);
          for (std::uint32_t i = 0; i < TESSERA_BLOCK; ++i) {
            const bool padding = block * TESSERA_BLOCK + i >= k;
            data_[weight_offset(tile, block, lane, i)] =
                static_cast<std::uint8_t>(padding            ? 128
                                          : random.chance(8) ? random.pick(kEnds)
                                                             : random.between(1, 255));
          }
        }
      }
    }
  }
  const void* data() const { return data_.data(); }
  std::uint32_t blocks() const { return blocks_; }
  std::size_t scale_bytes() const { return (std::size_t{blocks_} * TESSERA_LANES * 2 + 63) / 64 * 64; }
  std::size_t tile_stride() const { return scale_bytes() + std::size_t{blocks_} * TESSERA_BLOCK * TESSERA_LANES; }
  const void* tile(std::uint32_t index) const { return data_.data() + index * tile_stride(); }
  double at(std::uint32_t row, std::uint32_t column) const {
    const std::uint32_t tile = row / TESSERA_LANES, lane = row % TESSERA_LANES, block = column / TESSERA_BLOCK;
    const auto* scale = reinterpret_cast<const std::uint16_t*>(data_.data() + tile * tile_stride());
    const int weight = data_[weight_offset(tile, block, lane, column % TESSERA_BLOCK)] - 128;
    return weight * half_to_double(scale[block * TESSERA_LANES + lane]);
  }

 private:
  static constexpr std::uint32_t kEnds[] = {0, 1, 128, 255};

  std::uint16_t* scales(std::uint32_t tile) {
    return reinterpret_cast<std::uint16_t*>(data_.data() + tile * tile_stride());
  }
  std::size_t weight_offset(std::uint32_t tile, std::uint32_t block, std::uint32_t lane, std::uint32_t i) const {
    return tile * tile_stride() + scale_bytes() + ((std::size_t{block} * 8 + i / 4) * TESSERA_LANES + lane) * 4 + i % 4;
  }
  /// Finite, with zeros, f16 denormals and negative numbers.
  static std::uint16_t random_half(Random& random) {
    if (random.chance(32)) return 0;
    const std::uint32_t exponent = random.chance(16) ? 0 : random.between(5, 20);
    return static_cast<std::uint16_t>((random.bits() & 0x83ffu) | (exponent << 10));
  }

  std::uint32_t blocks_;
  GuardedBuffer<std::uint8_t> data_;
};

/// Random activations quantised by `table`.
class QuantizedRows {
 public:
  QuantizedRows(std::uint32_t rows, std::uint32_t k, std::size_t extra_blocks = 0)
      : blocks_((k + TESSERA_BLOCK - 1) / TESSERA_BLOCK + extra_blocks),
        values_(rows * blocks_ * TESSERA_BLOCK),
        scales_(rows * blocks_),
        corrections_(rows * blocks_) {}
  tessera_q8_rows view() {
    return {values_.data(), scales_.data(), corrections_.data(), blocks_ * TESSERA_BLOCK, blocks_};
  }
  /// The rows from `row` on.
  tessera_q8_rows from(std::uint32_t row) {
    tessera_q8_rows rows = view();
    rows.values += row * rows.ld_values;
    rows.scales += row * rows.ld_blocks;
    rows.corrections += row * rows.ld_blocks;
    return rows;
  }
  const GuardedBuffer<std::int8_t>& values() const { return values_; }
  const GuardedBuffer<float>& scales() const { return scales_; }
  const GuardedBuffer<std::int32_t>& corrections() const { return corrections_; }

 private:
  std::size_t blocks_;
  GuardedBuffer<std::int8_t> values_;
  GuardedBuffer<float> scales_;
  GuardedBuffer<std::int32_t> corrections_;
};

}  // namespace tessera::test
