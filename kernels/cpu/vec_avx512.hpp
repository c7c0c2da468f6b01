// Sixteen lanes as one 512-bit register. Include vec.hpp, not this file.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/inlining.hpp"
#include "kernels/cpu/isa.hpp"

namespace tessera::TESSERA_ISA {
namespace {

using Lanes = __m512;
using IntLanes = __m512i;

// n < 16 below: the first n lanes.
TESSERA_INLINE __mmask16 first_mask(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

TESSERA_INLINE Lanes zero() { return _mm512_setzero_ps(); }
TESSERA_INLINE Lanes broadcast(float x) { return _mm512_set1_ps(x); }
TESSERA_INLINE Lanes load(const float* p) { return _mm512_loadu_ps(p); }
TESSERA_INLINE void store(float* p, Lanes x) { _mm512_storeu_ps(p, x); }
/// Reads nothing beyond p[n - 1]; the other lanes are zero.
TESSERA_INLINE Lanes load_first(const float* p, size_t n) { return _mm512_maskz_loadu_ps(first_mask(n), p); }
TESSERA_INLINE void store_first(float* p, size_t n, Lanes x) { _mm512_mask_storeu_ps(p, first_mask(n), x); }
/// Lanes below n of a, the others of b.
TESSERA_INLINE Lanes first_of(size_t n, Lanes a, Lanes b) { return _mm512_mask_mov_ps(b, first_mask(n), a); }

TESSERA_INLINE Lanes add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
TESSERA_INLINE Lanes sub(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
TESSERA_INLINE Lanes mul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
TESSERA_INLINE Lanes div(Lanes a, Lanes b) { return _mm512_div_ps(a, b); }
TESSERA_INLINE Lanes square_root(Lanes x) { return _mm512_sqrt_ps(x); }
TESSERA_INLINE Lanes min(Lanes a, Lanes b) { return _mm512_min_ps(a, b); }
TESSERA_INLINE Lanes max(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
TESSERA_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
/// -a * b + c
TESSERA_INLINE Lanes fnma(Lanes a, Lanes b, Lanes c) { return _mm512_fnmadd_ps(a, b, c); }
/// 0 where x < bound, else y.
TESSERA_INLINE Lanes zero_where_less(Lanes y, Lanes x, Lanes bound) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), y);
}

/// a where x < bound, else b.
TESSERA_INLINE Lanes where_less(Lanes x, Lanes bound, Lanes a, Lanes b) {
  return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, bound, _CMP_LT_OQ), a);
}
TESSERA_INLINE Lanes magnitude(Lanes x) { return _mm512_abs_ps(x); }
/// x >= 0 with the sign of another.
TESSERA_INLINE Lanes with_sign(Lanes x, Lanes sign) {
  return _mm512_or_ps(x, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}

TESSERA_INLINE IntLanes round_to_int(Lanes x) { return _mm512_cvtps_epi32(x); }
TESSERA_INLINE Lanes to_float(IntLanes x) { return _mm512_cvtepi32_ps(x); }
TESSERA_INLINE Lanes power_of_two(IntLanes n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}
/// The bits of |x|: as integers they order like the values.
TESSERA_INLINE IntLanes magnitude_bits(Lanes x) {
  return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}
TESSERA_INLINE IntLanes max_int(IntLanes a, IntLanes b) { return _mm512_max_epi32(a, b); }
TESSERA_INLINE IntLanes add_int(IntLanes a, IntLanes b) { return _mm512_add_epi32(a, b); }
TESSERA_INLINE IntLanes zero_int() { return _mm512_setzero_si512(); }
TESSERA_INLINE int32_t largest_int(IntLanes x) { return _mm512_reduce_max_epi32(x); }
TESSERA_INLINE int32_t sum_int(IntLanes x) { return _mm512_reduce_add_epi32(x); }
/// Sixteen values that fit int8.
TESSERA_INLINE void store_int8(int8_t* p, IntLanes x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(x));
}

/// The four folds of a reduction.
TESSERA_INLINE float fold(Lanes x) {
  const __m256 eight =
      _mm256_add_ps(_mm512_castps512_ps256(x), _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// What is kept of an accumulator until sixteen of them are folded together.
using Partial = __m512;
TESSERA_INLINE Partial to_partial(Lanes x) { return x; }

/// Lane j of the result is fold(x[j]): the same additions, made for several accumulators at once.
TESSERA_INLINE Lanes fold_each(const Partial x[16]) {
  Lanes by_four[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Lanes a = _mm512_add_ps(_mm512_shuffle_f32x4(x[i], x[i + 4], 0x44),  //
                                  _mm512_shuffle_f32x4(x[i], x[i + 4], 0xee));
    const Lanes b =
        _mm512_add_ps(_mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x44), _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xee));
    by_four[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  }
  const Lanes c = _mm512_add_ps(_mm512_shuffle_ps(by_four[0], by_four[1], 0x44),  //
                                _mm512_shuffle_ps(by_four[0], by_four[1], 0xee));
  const Lanes d = _mm512_add_ps(_mm512_shuffle_ps(by_four[2], by_four[3], 0x44),  //
                                _mm512_shuffle_ps(by_four[2], by_four[3], 0xee));
  return _mm512_add_ps(_mm512_shuffle_ps(c, d, 0x88), _mm512_shuffle_ps(c, d, 0xdd));
}

/// Turns the 16 x 16 matrix of the rows x.
TESSERA_INLINE void transpose(Lanes x[16]) {
  Lanes pairs[16], quads[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    quads[i] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm512_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm512_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
  // quads[4 r + c]: element c of every quarter of the rows 4 r .. 4 r + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const Lanes low_even = _mm512_shuffle_f32x4(quads[c], quads[4 + c], 0x88);
    const Lanes low_odd = _mm512_shuffle_f32x4(quads[c], quads[4 + c], 0xdd);
    const Lanes high_even = _mm512_shuffle_f32x4(quads[8 + c], quads[12 + c], 0x88);
    const Lanes high_odd = _mm512_shuffle_f32x4(quads[8 + c], quads[12 + c], 0xdd);
    x[c] = _mm512_shuffle_f32x4(low_even, high_even, 0x88);
    x[4 + c] = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
    x[8 + c] = _mm512_shuffle_f32x4(low_even, high_even, 0xdd);
    x[12 + c] = _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd);
  }
}

TESSERA_INLINE float largest(Lanes x) { return _mm512_reduce_max_ps(x); }

TESSERA_INLINE Lanes widen_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
TESSERA_INLINE Lanes widen_bf16_register(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
TESSERA_INLINE Lanes load(const uint16_t* p) {
  return widen_bf16_register(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
TESSERA_INLINE Lanes load_first(const uint16_t* p, size_t n) {
  return widen_bf16_register(_mm256_maskz_loadu_epi16(first_mask(n), p));
}
/// To bf16, nearest even, on the bits; what is rounded away stays in the low halves.
TESSERA_INLINE __m512i narrow_bf16(Lanes x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
}
TESSERA_INLINE void store_bf16(uint16_t* p, Lanes x) {
  const __m512i words = _mm512_srli_epi32(narrow_bf16(x), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(words));
}
/// The bf16 values nearest to x, as floats.
TESSERA_INLINE Lanes round_to_bf16(Lanes x) {
  return _mm512_castsi512_ps(_mm512_and_si512(narrow_bf16(x), _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}

// Products of bf16 weights: one step takes two columns of K and sixteen rows, the odd column first.

#if defined(__AVX512BF16__)
using Bf16Weights = __m512i;
TESSERA_INLINE Bf16Weights load_bf16_weights(const void* p) { return _mm512_loadu_si512(p); }
/// The activations of both columns, as they lie in memory.
using Bf16Pair = uint32_t;
TESSERA_INLINE Lanes bf16_dot(Lanes acc, Bf16Weights weights, const Bf16Pair* x) {
  return _mm512_dpbf16_ps(acc, (__m512bh)weights, (__m512bh)_mm512_set1_epi32(static_cast<int>(*x)));
}
#else
struct Bf16Weights {
  Lanes even, odd;
};
TESSERA_INLINE Bf16Weights load_bf16_weights(const void* p) {
  const __m512i pairs = _mm512_loadu_si512(p);
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)), _mm512_castsi512_ps(_mm512_and_si512(pairs, high))};
}
/// The activations of both columns, widened.
struct Bf16Pair {
  float even, odd;
};
TESSERA_INLINE Lanes bf16_dot(Lanes acc, const Bf16Weights& weights, const Bf16Pair* x) {
  return fma(weights.even, broadcast(x->even), fma(weights.odd, broadcast(x->odd), acc));
}
#endif

// Integer dot products of quantised weights. One step multiplies the weights of four columns of K and sixteen rows by
// four activations.

using Bytes = __m512i;  // 64 of them
TESSERA_INLINE Bytes load_bytes(const char* p) { return _mm512_loadu_si512(p); }
TESSERA_INLINE void store_bytes(char* p, Bytes x) { _mm512_storeu_si512(p, x); }
/// 16 times the low nibble of every byte, 16 times the high nibble.
TESSERA_INLINE Bytes low_nibbles(Bytes x) {
  return _mm512_and_si512(_mm512_slli_epi16(x, 4), _mm512_set1_epi8(static_cast<char>(0xf0)));
}
TESSERA_INLINE Bytes high_nibbles(Bytes x) { return _mm512_and_si512(x, _mm512_set1_epi8(static_cast<char>(0xf0))); }

using Q8Weights = __m512i;
TESSERA_INLINE Q8Weights to_q8_weights(Bytes x) { return x; }

TESSERA_INLINE IntLanes broadcast_int(int32_t x) { return _mm512_set1_epi32(x); }

/// The 32 activations of a block, broadcast four at a time. Written out, because the compiler would spend a register
/// and an instruction on each broadcast.
struct Q8Activations {
  struct [[gnu::may_alias]] Four {
    int32_t bits;
  };
  const int8_t* values;
  TESSERA_INLINE void prepare(const int8_t* p) { values = p; }
  TESSERA_INLINE IntLanes multiply(IntLanes acc, Q8Weights weights, int step) const {
    __asm__ volatile("vpdpbusd %2%{1to16%}, %1, %0"
                     : "+v"(acc)
                     : "v"(weights), "m"(reinterpret_cast<const Four*>(values)[step]));
    return acc;
  }
};

}  // namespace
}  // namespace tessera::TESSERA_ISA
