// The scalar building blocks of docs/exactness.md: exp, the lane reduction, number formats.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <emmintrin.h>

#include "kernels/abi/kernel_abi.h"

namespace tessera::reference {

/// One rounding. Where the machine has no FMA instruction the C library computes the same value in software.
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

inline float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

/// To the nearest integer, halves to the even one. The conversion instruction is defined for every input, a cast is
/// not.
inline int32_t round_half_even(float x) { return _mm_cvtss_si32(_mm_set_ss(x)); }

/// 2^n for n in -126..127.
inline float power_of_two(int32_t n) { return std::bit_cast<float>(static_cast<uint32_t>(n + 127) << 23); }

/// exactness.md, "exp"; coefficients of Cephes expf (S. Moshier).
inline float exp_one(float x) {
  if (x < -87.0f) return 0.0f;
  x = 88.0f < x ? 88.0f : x;  // in this form a NaN stays a NaN and reaches the check of the logits
  const int32_t exponent = round_half_even(x * 1.44269504f);
  const float n = static_cast<float>(exponent);
  float r = fma(n, -0.693359375f, x);
  r = fma(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fma(p, r, 1.3981999507e-3f);
  p = fma(p, r, 8.3334519073e-3f);
  p = fma(p, r, 4.1665795894e-2f);
  p = fma(p, r, 1.6666665459e-1f);
  p = fma(p, r, 5.0000001201e-1f);
  p = fma(p, r * r, r);
  p = p + 1.0f;
  if (exponent < -126 || exponent > 127) return p;  // only a NaN gets here
  return p * power_of_two(exponent);
}

/// A contiguous reduction: element i goes to lane i mod 16, then four folds.
class LaneSum {
 public:
  void add_product(size_t index, float a, float b) {
    float& lane = lanes_[index % TESSERA_LANES];
    lane = fma(a, b, lane);
  }
  void add(size_t index, float a) {
    float& lane = lanes_[index % TESSERA_LANES];
    lane = lane + a;
  }
  float fold() {
    for (size_t h = TESSERA_LANES / 2; h > 0; h /= 2) {
      for (size_t j = 0; j < h; ++j) lanes_[j] = lanes_[j] + lanes_[j + h];
    }
    return lanes_[0];
  }

 private:
  float lanes_[TESSERA_LANES] = {};
};

/// IEEE binary16 to f32, exact for every input: the smallest binary16 denormal is a normal f32.
inline float widen_f16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half >> 15) << 31;
  const uint32_t exponent = (half >> 10) & 31;
  const uint32_t mantissa = half & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

inline float widen_bf16(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

/// To nearest even on the bits; denormals are rounded like other numbers and a NaN stays a NaN.
inline uint16_t narrow_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace tessera::reference
