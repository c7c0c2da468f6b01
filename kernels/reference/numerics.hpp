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

/// exactness.md, "tanh"; coefficients of Cephes tanhf (S. Moshier).
inline float tanh_one(float x) {
  const float magnitude = std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x7fffffffu);
  if (magnitude < 0.625f) {
    const float z = x * x;
    float p = -5.70498872745e-3f;
    p = fma(p, z, 2.06390887954e-2f);
    p = fma(p, z, -5.37397155531e-2f);
    p = fma(p, z, 1.33314422036e-1f);
    p = fma(p, z, -3.33332819422e-1f);
    return fma(p * z, x, x);
  }
  const float t = 1.0f - 2.0f / (exp_one(magnitude + magnitude) + 1.0f);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(t) | (std::bit_cast<uint32_t>(x) & 0x80000000u));
}

/// exactness.md, "erf"; the rational approximation of Eigen's generic erf.
inline float erf_one(float x) {
  x = 4.0f < x ? 4.0f : x;  // in this form a NaN stays a NaN
  x = -4.0f > x ? -4.0f : x;
  const float z = x * x;
  float p = -2.72614225801306e-10f;
  p = fma(p, z, 2.77068142495902e-8f);
  p = fma(p, z, -2.10102402082508e-6f);
  p = fma(p, z, -5.69250639462346e-5f);
  p = fma(p, z, -7.34990630326855e-4f);
  p = fma(p, z, -2.95459980854025e-3f);
  p = fma(p, z, -1.60960333262415e-2f);
  float q = -1.45660718464996e-5f;
  q = fma(q, z, -2.13374055278905e-4f);
  q = fma(q, z, -1.68282697438203e-3f);
  q = fma(q, z, -7.37332916720468e-3f);
  q = fma(q, z, -1.42647390514189e-2f);
  return (x * p) / q;
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
