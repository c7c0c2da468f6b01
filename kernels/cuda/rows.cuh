// Rows of activations: four neighbours to a thread, and the forms in which they are stored for the next matrix.
#pragma once

#include "kernels/cuda/numerics.cuh"

namespace tessera::cuda {

constexpr unsigned row_threads = 256;

/// Elements i .. i + 3 of a row of n; zero beyond it. The row is aligned to 16 bytes and i is a multiple of 4.
__device__ __forceinline__ float4 load_four(const float* row, unsigned i, unsigned n) {
  if (i + 4 <= n) return *reinterpret_cast<const float4*>(row + i);
  float4 v{0.0f, 0.0f, 0.0f, 0.0f};
  if (i < n) v.x = row[i];
  if (i + 1 < n) v.y = row[i + 1];
  if (i + 2 < n) v.z = row[i + 2];
  return v;
}

__device__ __forceinline__ unsigned magnitude_bits(float x) { return __float_as_uint(x) & 0x7fffffffu; }

__device__ __forceinline__ unsigned largest(unsigned a, unsigned b) { return a > b ? a : b; }

/// exactness.md, "Activation quantisation", of the block of 32 that eight neighbouring threads hold. The bits of
/// magnitudes order like the magnitudes, and put a NaN on top, where it spoils the scale and so shows.
__device__ __forceinline__ void store_quantised(const tessera_device_rows& out, std::size_t row, unsigned i, unsigned n,
                                                float4 v) {
  unsigned amax_bits =
      largest(largest(magnitude_bits(v.x), magnitude_bits(v.y)), largest(magnitude_bits(v.z), magnitude_bits(v.w)));
  TESSERA_UNROLL
  for (int distance = 1; distance < 8; distance *= 2)
    amax_bits = largest(amax_bits, __shfl_xor_sync(all_lanes, amax_bits, distance));
  if (i >= (n + 31) / 32 * 32) return;
  const float amax = __uint_as_float(amax_bits);
  const bool is_zero = amax < 1e-30f;
  const float inverse = is_zero ? 0.0f : __fdiv_rn(127.0f, amax);
  const auto byte = [&](float x) { return static_cast<unsigned>(is_zero ? 0 : __float2int_rn(x * inverse)) & 0xffu; };
  auto* const values = static_cast<signed char*>(out.values) + row * out.ld + i;
  *reinterpret_cast<unsigned*>(values) = byte(v.x) | byte(v.y) << 8 | byte(v.z) << 16 | byte(v.w) << 24;
  if (i % 32 == 0) out.scales[row * (out.ld / 32) + i / 32] = is_zero ? 0.0f : __fdiv_rn(amax, 127.0f);
}

/// Stores v as elements i .. i + 3 in the form of `format`. Every thread of the warp calls it, each with the i that
/// follows its neighbour's; elements beyond n are zero.
__device__ __forceinline__ void store_four(unsigned format, const tessera_device_rows& out, std::size_t row, unsigned i,
                                           unsigned n, float4 v) {
  if (format == TESSERA_WEIGHTS_F32) {
    if (i < n) *reinterpret_cast<float4*>(static_cast<float*>(out.values) + row * out.ld + i) = v;
  } else if (format == TESSERA_WEIGHTS_BF16) {
    const uint2 pairs{narrow_bf16(v.x) | narrow_bf16(v.y) << 16, narrow_bf16(v.z) | narrow_bf16(v.w) << 16};
    if (i < n) *reinterpret_cast<uint2*>(static_cast<unsigned short*>(out.values) + row * out.ld + i) = pairs;
  } else {
    store_quantised(out, row, i, n, v);
  }
}

/// Whether rows of n elements can be stored there.
inline bool fits(unsigned format, const tessera_device_rows& out, unsigned n) {
  const bool blocks = format == TESSERA_WEIGHTS_Q8 || format == TESSERA_WEIGHTS_Q4;
  const unsigned multiple = blocks ? 32 : format == TESSERA_WEIGHTS_BF16 ? 8 : 4;
  return format <= TESSERA_WEIGHTS_Q4 && aligned(out.values) && out.ld % multiple == 0 && out.ld >= n &&
         (!blocks || out.scales != nullptr);
}

}  // namespace tessera::cuda
