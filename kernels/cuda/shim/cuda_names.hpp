// The words of CUDA C++ that the kernels use, for a host compiler. Included by kernels/cuda/launch.cuh instead of
// cuda_runtime.h; what is not here, the kernels do not use.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <emmintrin.h>

#include "kernels/cuda/shim/fibers.hpp"

// Their names are CUDA's: the kernels are written in its language.
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define TESSERA_SHARED(type, name, count)               \
  static ::tessera::cuda::shim::SharedSlot name##_slot; \
  type* const name = static_cast<type*>(                \
      ::tessera::cuda::shim::shared_memory(name##_slot, sizeof(type) * static_cast<std::size_t>(count)))
#define TESSERA_DYNAMIC_SHARED(name) char* const name = static_cast<char*>(::tessera::cuda::shim::dynamic_memory())
#define threadIdx (::tessera::cuda::shim::place.thread)
#define blockIdx (::tessera::cuda::shim::place.block)
#define blockDim (::tessera::cuda::shim::place.block_size)
#define gridDim (::tessera::cuda::shim::place.grid_size)

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
using dim3 = ::tessera::cuda::shim::Index;

inline void __syncthreads(int where = __builtin_LINE()) { ::tessera::cuda::shim::block_barrier(where); }
inline void __syncwarp(unsigned mask = 0xffffffffu, int where = __builtin_LINE()) {
  ::tessera::cuda::shim::warp_exchange(mask, 0, where);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int where = __builtin_LINE()) {
  static_assert(sizeof(T) == 4);
  const unsigned own = threadIdx.x % 32;
  const std::uint64_t* const values =
      ::tessera::cuda::shim::warp_exchange(mask, std::bit_cast<std::uint32_t>(value), where);
  return std::bit_cast<T>(static_cast<std::uint32_t>(values[own ^ static_cast<unsigned>(lanes)]));
}

// One rounding each, as the instructions of both machines give it.
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float __fsqrt_rn(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
inline float __fdiv_rn(float a, float b) { return a / b; }
/// To the nearest, halves to the even one; NaN gives 0 on a GPU.
inline int __float2int_rn(float x) { return x == x ? _mm_cvtss_si32(_mm_set_ss(x)) : 0; }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __dp4a(int a, int b, int c) {
  std::int8_t x[4], y[4];
  std::memcpy(x, &a, 4);
  std::memcpy(y, &b, 4);
  for (int i = 0; i < 4; ++i) c += x[i] * y[i];
  return c;
}
