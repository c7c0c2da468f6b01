// Random weights in the tile layouts of kernels/abi/kernel_abi.h, and their logical values.
#pragma once

#include <algorithm>
#include <bit>
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

/// The bf16 nearest to a float, to even; computed in doubles, apart from the kernels' way. Not for NaN.
inline std::uint16_t to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value), low = bits & 0xffff0000u, high = low + 0x10000u;
  const double below = double{value} - double{std::bit_cast<float>(low)};
  const double above = double{std::bit_cast<float>(high)} - double{value};
  const bool up = std::abs(above) < std::abs(below) || (std::abs(above) == std::abs(below) && (low >> 16) % 2 == 1);
  return static_cast<std::uint16_t>((up ? high : low) >> 16);
}
inline double bf16_to_double(std::uint16_t value) { return double{std::bit_cast<float>(std::uint32_t{value} << 16)}; }

/// tiles x u16[ceil(k / 2)][16][2].
class PackedBf16 {
 public:
  PackedBf16(Random& random, std::uint32_t tiles, std::uint32_t k, Values kind)
      : k_(k), data_(tiles * stride_values()) {
    for (std::uint32_t row = 0; row < tiles * TESSERA_LANES; ++row) {
      for (std::uint32_t column = 0; column < k; ++column) data_[place(row, column)] = to_bf16(random.value(kind));
    }
  }
  const void* data() const { return data_.data(); }
  std::size_t tile_stride() const { return stride_values() * sizeof(std::uint16_t); }
  const void* tile(std::uint32_t index) const { return data_.data() + index * stride_values(); }
  double at(std::uint32_t row, std::uint32_t column) const { return bf16_to_double(data_[place(row, column)]); }

 private:
  std::size_t stride_values() const { return std::size_t{(k_ + 1) / 2} * TESSERA_LANES * 2; }
  std::size_t place(std::uint32_t row, std::uint32_t column) const {
    return row / TESSERA_LANES * stride_values() + (column / 2 * TESSERA_LANES + row % TESSERA_LANES) * 2 + column % 2;
  }

  std::uint32_t k_;
  GuardedBuffer<std::uint16_t> data_;
};

/// tiles x (f16 scale[blocks][16], padding to 64 bytes, weights of `Layout`).
template <typename Layout>
class PackedBlocks {
 public:
  PackedBlocks(Random& random, std::uint32_t tiles, std::uint32_t k)
      : blocks_((k + TESSERA_BLOCK - 1) / TESSERA_BLOCK), data_(tiles * tile_stride()) {
    for (std::uint32_t row = 0; row < tiles * TESSERA_LANES; ++row) {
      for (std::uint32_t column = 0; column < blocks_ * TESSERA_BLOCK; ++column) {
        if (column % TESSERA_BLOCK == 0) scale(row, column) = random_half(random);
        Layout::put(weights(row, column), row % TESSERA_LANES, column % TESSERA_BLOCK,
                    column < k ? Layout::random(random) : 0);
      }
    }
  }
  const void* data() const { return data_.data(); }
  std::uint32_t blocks() const { return blocks_; }
  std::size_t tile_stride() const { return scale_bytes() + std::size_t{blocks_} * Layout::block_bytes; }
  const void* tile(std::uint32_t index) const { return data_.data() + index * tile_stride(); }
  double at(std::uint32_t row, std::uint32_t column) const {
    auto& self = const_cast<PackedBlocks&>(*this);
    return Layout::get(self.weights(row, column), row % TESSERA_LANES, column % TESSERA_BLOCK) *
           half_to_double(self.scale(row, column));
  }

 private:
  std::size_t scale_bytes() const { return (std::size_t{blocks_} * TESSERA_LANES * 2 + 63) / 64 * 64; }
  std::uint16_t& scale(std::uint32_t row, std::uint32_t column) {
    auto* const scales = reinterpret_cast<std::uint16_t*>(data_.data() + row / TESSERA_LANES * tile_stride());
    return scales[column / TESSERA_BLOCK * TESSERA_LANES + row % TESSERA_LANES];
  }
  std::uint8_t* weights(std::uint32_t row, std::uint32_t column) {
    return data_.data() + row / TESSERA_LANES * tile_stride() + scale_bytes() +
           column / TESSERA_BLOCK * Layout::block_bytes;
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

/// u8 w[8][16][4], weight + 128.
struct Q8Layout {
  static constexpr std::size_t block_bytes = std::size_t{TESSERA_BLOCK} * TESSERA_LANES;
  static constexpr int ends[] = {-128, -127, 0, 127};
  static int random(Random& random) {
    return random.chance(8) ? random.pick(ends) : static_cast<int>(random.between(1, 255)) - 128;
  }
  static std::uint8_t* place(std::uint8_t* block, std::uint32_t lane, std::uint32_t i) {
    return block + (i / 4 * TESSERA_LANES + lane) * 4 + i % 4;
  }
  static void put(std::uint8_t* block, std::uint32_t lane, std::uint32_t i, int weight) {
    *place(block, lane, i) = static_cast<std::uint8_t>(weight + 128);
  }
  static int get(std::uint8_t* block, std::uint32_t lane, std::uint32_t i) { return *place(block, lane, i) - 128; }
};
using PackedQ8 = PackedBlocks<Q8Layout>;

/// u8 w[4][16][4], weight + 8 in a nibble: columns 0..15 low, 16..31 high.
struct Q4Layout {
  static constexpr std::size_t block_bytes = Q8Layout::block_bytes / 2;
  static int random(Random& random) { return static_cast<int>(random.between(0, 15)) - 8; }
  static std::uint8_t* place(std::uint8_t* block, std::uint32_t lane, std::uint32_t i) {
    return Q8Layout::place(block, lane, i % 16);
  }
  static void put(std::uint8_t* block, std::uint32_t lane, std::uint32_t i, int weight) {
    std::uint8_t& both = *place(block, lane, i);
    const int shift = i < 16 ? 0 : 4;
    both = static_cast<std::uint8_t>((both & ~(15 << shift)) | (weight + 8) << shift);
  }
  static int get(std::uint8_t* block, std::uint32_t lane, std::uint32_t i) {
    return (*place(block, lane, i) >> (i < 16 ? 0 : 4) & 15) - 8;
  }
};
using PackedQ4 = PackedBlocks<Q4Layout>;

/// Room for activations quantised by a module: in groups that hold up to `slack` rows more than there are.
class QuantizedRows {
 public:
  QuantizedRows(std::uint32_t rows, std::uint32_t k, std::size_t slack = 0)
      : group_(std::min<std::size_t>(rows + slack, TESSERA_ROW_GROUP)),
        group_stride_((k + TESSERA_BLOCK - 1) / TESSERA_BLOCK * group_ + slack),
        entries_((rows + group_ - 1) / group_ * group_stride_ - slack),
        values_(entries_ * TESSERA_BLOCK),
        scales_(entries_),
        corrections_(entries_) {}
  tessera_q8_rows view() { return {values_.data(), scales_.data(), corrections_.data(), group_, group_stride_}; }
  static std::size_t entry(const tessera_q8_rows& rows, std::size_t row, std::size_t block) {
    return row / rows.group * rows.group_stride + block * rows.group + row % rows.group;
  }
  const GuardedBuffer<std::int8_t>& values() const { return values_; }
  const GuardedBuffer<float>& scales() const { return scales_; }
  const GuardedBuffer<std::int32_t>& corrections() const { return corrections_; }

 private:
  std::size_t group_, group_stride_, entries_;
  GuardedBuffer<std::int8_t> values_;
  GuardedBuffer<float> scales_;
  GuardedBuffer<std::int32_t> corrections_;
};

}  // namespace tessera::test
