// Blocks of 32 weights with one f16 scale: how importers turn f32 into q8 and q4. Scalar, and the same on every
// machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera {

/// One q8 block as it lies in a row of foreign files, byte for byte a block of GGUF's Q8_0: weight i is values[i] *
/// scale.
struct Q8Block {
  std::uint16_t scale;  ///< f16 bits
  std::int8_t values[32];

  bool operator==(const Q8Block&) const = default;
};
static_assert(sizeof(Q8Block) == 34);

/// One q8 block: writes 32 int8 and returns the f16 bits of the scale. Elements beyond `count` are zero.
/// scale = f16(amax / 127); q = round_half_even(x / scale), clamped to -127..127.
std::uint16_t quantize_q8_block(const float* values, std::uint32_t count, std::int8_t* out);

/// One q4 block, byte for byte a block of GGUF's Q4_0: weight i is (nibble - 8) * scale, nibble i in the low half of
/// byte i and nibble 16 + i in the high half.
struct Q4Block {
  std::uint16_t scale;  ///< f16 bits; may be negative
  std::uint8_t nibbles[16];

  bool operator==(const Q4Block&) const = default;
};
static_assert(sizeof(Q4Block) == 18);

/// Elements beyond `count` are zero. The scale is the one of nine, by which the element of largest magnitude becomes
/// about -8, that has the smallest squared error (docs/decisions/0010). Magnitudes are at most 8 * 65504.
Q4Block quantize_q4_block(const float* values, std::uint32_t count);

}  // namespace tessera
