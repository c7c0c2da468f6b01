#include "runtime/tensor/quantise.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/tensor/half.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t block_columns = 32;

/// To the nearest integer, ties to even, for |x| < 2^22: adding and subtracting 1.5 * 2^23 rounds.
float round_small(float x) { return (x + 12582912.0f) - 12582912.0f; }

/// Whole numbers -8..7 that `scale` stands nearest to, and their squared error. Element i goes to sum i mod 8, and the
/// sums are added in order, so that the error is the same number everywhere.
double round_q4(const float* values, float scale, float* rounded) {
  const float inverse = scale == 0 ? 0.0f : 1.0f / scale;
  double sums[8] = {};
  for (std::uint32_t i = 0; i < block_columns; ++i) {
    rounded[i] = round_small(std::min(std::max(values[i] * inverse, -8.0f), 7.0f));
    const double error = static_cast<double>(values[i]) - static_cast<double>(rounded[i]) * static_cast<double>(scale);
    sums[i % 8] += error * error;
  }
  double error = 0;
  for (const double sum : sums) error += sum;
  return error;
}

}  // namespace

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
    out[i] = static_cast<std::int8_t>(round_small(std::clamp(values[i] / scale, -127.0f, 127.0f)));
  }
  return scale_bits;
}

Q4Block quantize_q4_block(const float* values, std::uint32_t count) {
  float padded[block_columns] = {}, largest = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    padded[i] = values[i];
    if (std::fabs(values[i]) > std::fabs(largest)) largest = values[i];
  }
  // What the element of largest magnitude becomes, the usual -8 first: it wins ties.
  constexpr float candidates[] = {-8.0f, -7.75f, -8.25f, -7.5f, -8.5f, -7.25f, -8.75f, -7.0f, -9.0f};
  float best[block_columns], rounded[block_columns];
  double best_error = 0;
  Q4Block block{};
  for (const float& candidate : candidates) {
    const std::uint16_t scale_bits = f32_to_f16(largest / candidate);
    const double error = round_q4(padded, f16_to_f32(scale_bits), rounded);
    // A scale that overflows has an error that is no number, and loses.
    if (&candidate != candidates && !(error < best_error)) continue;
    best_error = error;
    block.scale = scale_bits;
    std::copy_n(rounded, block_columns, best);
  }
  for (std::uint32_t i = 0; i < 16; ++i) {
    const auto nibble = [](float whole) { return static_cast<std::uint32_t>(static_cast<int>(whole) + 8); };
    block.nibbles[i] = static_cast<std::uint8_t>(nibble(best[i]) | nibble(best[16 + i]) << 4);
  }
  return block;
}

}  // namespace tessera
