// f16, bf16 and f8 as bit patterns, converted by integer arithmetic: the same result on every machine, exact where it
// can be.
#pragma once

#include <cstdint>

namespace tessera {

/// f16 bits to f32, exact (subnormals, infinities and NaN included).
float f16_to_f32(std::uint16_t bits);
/// f32 to f16 bits, round to nearest even; overflow gives infinity.
std::uint16_t f32_to_f16(float value);
/// bf16 bits to f32, exact.
float bf16_to_f32(std::uint16_t bits);
/// f32 to bf16 bits, round to nearest even.
std::uint16_t f32_to_bf16(float value);

/// 8 bits of the kind E4M3 ("FN": no infinities, one NaN of each sign; Micikevicius et al., 2022) to f32, exact.
float f8_e4m3_to_f32(std::uint8_t bits);

}  // namespace tessera
