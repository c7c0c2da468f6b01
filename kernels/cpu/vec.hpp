// Sixteen f32 lanes: the vector in which every op of this folder is written.
//
//   Lanes acc = zero();
//   for (size_t i = 0; i + 16 <= n; i += 16) acc = fma(load(a + i), load(b + i), acc);
//   float sum = fold(acc);                     // lanes 8, 4, 2, 1, as in docs/exactness.md
//
// A source of this folder is compiled once per instruction set. The compiler's flags choose the implementation below,
// and everything lies in a namespace named after it: two object files that hold the same function for different
// instruction sets must never offer the linker the same name, or it could keep the one that the machine cannot run. For
// the same reason these sources instantiate no templates of the standard library.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/inlining.hpp"
#include "kernels/cpu/isa.hpp"

#if defined(__AVX512F__)
#include "kernels/cpu/vec_avx512.hpp"
#else
#include "kernels/cpu/vec_avx2.hpp"
#endif

namespace tessera::TESSERA_ISA {
namespace {

constexpr size_t kLanes = 16;

/// One element of a cache, as a float: f32, or bf16.
TESSERA_INLINE float widen_one(float x) { return x; }
TESSERA_INLINE float widen_one(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

/// exactness.md, "exp"; coefficients of Cephes expf (S. Moshier).
TESSERA_INLINE Lanes exp_lanes(Lanes input) {
  const Lanes x = min(broadcast(88.0f), input);  // in this order a NaN stays a NaN
  const IntLanes exponent = round_to_int(mul(x, broadcast(1.44269504f)));
  const Lanes n = to_float(exponent);
  Lanes r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  Lanes p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = fma(p, mul(r, r), r);
  p = add(p, broadcast(1.0f));
  return zero_where_less(mul(p, power_of_two(exponent)), input, broadcast(-87.0f));
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
