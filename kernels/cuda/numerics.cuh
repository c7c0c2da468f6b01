// docs/exactness.md for a GPU: the same operations in the same order as kernels/reference/numerics.hpp. Compiled with
// -ftz=true and -fmad=false: denormals are flushed as in a compute thread of the CPU, and nothing is fused unasked.
#pragma once

#include "kernels/abi/kernel_abi.h"
#include "kernels/cuda/launch.cuh"

namespace tessera::cuda {

/// fma(a, b, c): one rounding.
__device__ __forceinline__ float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }

/// 2^n for n in -126..127.
__device__ __forceinline__ float power_of_two(int n) { return __uint_as_float(static_cast<unsigned>(n + 127) << 23); }

/// exactness.md, "exp"; coefficients of Cephes expf (S. Moshier).
__device__ __forceinline__ float exp_one(float x) {
  const bool vanishes = x < -87.0f;
  x = 88.0f < x ? 88.0f : x;  // in this form a NaN stays a NaN
  const int exponent = __float2int_rn(x * 1.44269504f);
  const float n = __int2float_rn(exponent);
  float r = fused(n, -0.693359375f, x);
  r = fused(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fused(p, r, 1.3981999507e-3f);
  p = fused(p, r, 8.3334519073e-3f);
  p = fused(p, r, 4.1665795894e-2f);
  p = fused(p, r, 1.6666665459e-1f);
  p = fused(p, r, 5.0000001201e-1f);
  p = fused(p, r * r, r);
  p = p + 1.0f;
  // The result of what vanishes is dropped, but its power must have bits.
  const int kept = exponent < -126 ? -126 : exponent;
  return vanishes ? 0.0f : p * power_of_two(kept);
}

/// exactness.md, "tanh"; coefficients of Cephes tanhf (S. Moshier).
__device__ __forceinline__ float tanh_one(float x) {
  const float magnitude = __uint_as_float(__float_as_uint(x) & 0x7fffffffu);
  if (magnitude < 0.625f) {
    const float z = x * x;
    float p = -5.70498872745e-3f;
    p = fused(p, z, 2.06390887954e-2f);
    p = fused(p, z, -5.37397155531e-2f);
    p = fused(p, z, 1.33314422036e-1f);
    p = fused(p, z, -3.33332819422e-1f);
    return fused(p * z, x, x);
  }
  const float t = 1.0f - __fdiv_rn(2.0f, exp_one(magnitude + magnitude) + 1.0f);
  return __uint_as_float(__float_as_uint(t) | (__float_as_uint(x) & 0x80000000u));
}

/// exactness.md, "erf"; the rational approximation of Eigen's generic erf.
__device__ __forceinline__ float erf_one(float x) {
  x = 4.0f < x ? 4.0f : x;
  x = -4.0f > x ? -4.0f : x;
  const float z = x * x;
  float p = -2.72614225801306e-10f;
  p = fused(p, z, 2.77068142495902e-8f);
  p = fused(p, z, -2.10102402082508e-6f);
  p = fused(p, z, -5.69250639462346e-5f);
  p = fused(p, z, -7.34990630326855e-4f);
  p = fused(p, z, -2.95459980854025e-3f);
  p = fused(p, z, -1.60960333262415e-2f);
  float q = -1.45660718464996e-5f;
  q = fused(q, z, -2.13374055278905e-4f);
  q = fused(q, z, -1.68282697438203e-3f);
  q = fused(q, z, -7.37332916720468e-3f);
  q = fused(q, z, -1.42647390514189e-2f);
  return __fdiv_rn(x * p, q);
}

/// A row's factor in RMSNorm and LayerNorm.
__device__ __forceinline__ float norm_factor(float squares, unsigned n, float eps) {
  return __fdiv_rn(1.0f, __fsqrt_rn(__fdiv_rn(squares, static_cast<float>(n)) + eps));
}

/// IEEE binary16 to f32, exact for every input.
__device__ __forceinline__ float widen_f16(unsigned short half) {
#ifdef __CUDACC__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(half));
  return result;
#else
  const unsigned sign = static_cast<unsigned>(half >> 15) << 31, exponent = (half >> 10) & 31u, mantissa = half & 1023u;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return __uint_as_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
  return __uint_as_float(sign | __float_as_uint(static_cast<float>(mantissa) * 0x1p-24f));
#endif
}

/// The two bf16 of a word, widened.
__device__ __forceinline__ float widen_low(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float widen_high(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

/// To nearest even on the bits; denormals are rounded like other numbers and a NaN stays a NaN.
__device__ __forceinline__ unsigned narrow_bf16(float value) {
  const unsigned bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

/// The four folds of a contiguous reduction whose lane i lies in thread i mod 16; every thread of the warp gets it.
/// h = 8, 4, 2, 1: an addition has the same bits either way round, so both partners may make it.
__device__ __forceinline__ float fold_lanes(float lane) {
  TESSERA_UNROLL
  for (int h = TESSERA_LANES / 2; h > 0; h /= 2) lane = lane + __shfl_xor_sync(all_lanes, lane, h);
  return lane;
}

}  // namespace tessera::cuda
