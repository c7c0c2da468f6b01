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

/// exactness.md, "tanh"; coefficients of Cephes tanhf (S. Moshier).
TESSERA_INLINE Lanes tanh_lanes(Lanes x) {
  const Lanes size = magnitude(x), one = broadcast(1.0f);
  const Lanes z = mul(x, x);
  Lanes p = broadcast(-5.70498872745e-3f);
  p = fma(p, z, broadcast(2.06390887954e-2f));
  p = fma(p, z, broadcast(-5.37397155531e-2f));
  p = fma(p, z, broadcast(1.33314422036e-1f));
  p = fma(p, z, broadcast(-3.33332819422e-1f));
  const Lanes small = fma(mul(p, z), x, x);
  const Lanes large = sub(one, div(broadcast(2.0f), add(exp_lanes(add(size, size)), one)));
  return where_less(size, broadcast(0.625f), small, with_sign(large, x));
}

/// exactness.md, "erf"; the rational approximation of Eigen's generic erf.
TESSERA_INLINE Lanes erf_lanes(Lanes input) {
  const Lanes x = max(broadcast(-4.0f), min(broadcast(4.0f), input));  // in this order a NaN stays a NaN
  const Lanes z = mul(x, x);
  Lanes p = broadcast(-2.72614225801306e-10f);
  p = fma(p, z, broadcast(2.77068142495902e-8f));
  p = fma(p, z, broadcast(-2.10102402082508e-6f));
  p = fma(p, z, broadcast(-5.69250639462346e-5f));
  p = fma(p, z, broadcast(-7.34990630326855e-4f));
  p = fma(p, z, broadcast(-2.95459980854025e-3f));
  p = fma(p, z, broadcast(-1.60960333262415e-2f));
  Lanes q = broadcast(-1.45660718464996e-5f);
  q = fma(q, z, broadcast(-2.13374055278905e-4f));
  q = fma(q, z, broadcast(-1.68282697438203e-3f));
  q = fma(q, z, broadcast(-7.37332916720468e-3f));
  q = fma(q, z, broadcast(-1.42647390514189e-2f));
  return div(mul(x, p), q);
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
