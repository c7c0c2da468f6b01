// Sixteen lanes as two 256-bit registers. Include vec.hpp, not this file.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/inlining.hpp"
#include "kernels/cpu/isa.hpp"

namespace tessera::TESSERA_ISA {
namespace {

struct Lanes {
  __m256 lo, hi;
};
struct IntLanes {
  __m256i lo, hi;
};

// n < 16 below: the first n lanes, as all-ones masks.
alignas(64) constexpr int32_t kFirstMask[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
TESSERA_INLINE __m256i first_mask_lo(size_t n) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirstMask + 16 - n));
}
TESSERA_INLINE __m256i first_mask_hi(size_t n) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirstMask + 24 - (n < 8 ? 8 : n)));
}

TESSERA_INLINE Lanes zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
TESSERA_INLINE Lanes broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
TESSERA_INLINE Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
TESSERA_INLINE void store(float* p, Lanes x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
/// Reads nothing beyond p[n - 1]; the other lanes are zero.
TESSERA_INLINE Lanes load_first(const float* p, size_t n) {
  const __m256 lo = _mm256_maskload_ps(p, first_mask_lo(n));
  return {lo, n > 8 ? _mm256_maskload_ps(p + 8, first_mask_hi(n)) : _mm256_setzero_ps()};
}
TESSERA_INLINE void store_first(float* p, size_t n, Lanes x) {
  _mm256_maskstore_ps(p, first_mask_lo(n), x.lo);
  if (n > 8) _mm256_maskstore_ps(p + 8, first_mask_hi(n), x.hi);
}
/// Lanes below n of a, the others of b.
TESSERA_INLINE Lanes first_of(size_t n, Lanes a, Lanes b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(first_mask_lo(n))),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(first_mask_hi(n)))};
}

TESSERA_INLINE Lanes add(Lanes a, Lanes b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
TESSERA_INLINE Lanes sub(Lanes a, Lanes b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
TESSERA_INLINE Lanes mul(Lanes a, Lanes b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
TESSERA_INLINE Lanes div(Lanes a, Lanes b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
TESSERA_INLINE Lanes square_root(Lanes x) { return {_mm256_sqrt_ps(x.lo), _mm256_sqrt_ps(x.hi)}; }
TESSERA_INLINE Lanes min(Lanes a, Lanes b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
TESSERA_INLINE Lanes max(Lanes a, Lanes b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
TESSERA_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
/// -a * b + c
TESSERA_INLINE Lanes fnma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
/// 0 where x < bound, else y.
TESSERA_INLINE Lanes zero_where_less(Lanes y, Lanes x, Lanes bound) {
  return {_mm256_andnot_ps(_mm256_cmp_ps(x.lo, bound.lo, _CMP_LT_OQ), y.lo),
          _mm256_andnot_ps(_mm256_cmp_ps(x.hi, bound.hi, _CMP_LT_OQ), y.hi)};
}

/// a where x < bound, else b.
TESSERA_INLINE Lanes where_less(Lanes x, Lanes bound, Lanes a, Lanes b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_cmp_ps(x.lo, bound.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_cmp_ps(x.hi, bound.hi, _CMP_LT_OQ))};
}
TESSERA_INLINE Lanes magnitude(Lanes x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.lo), _mm256_andnot_ps(sign, x.hi)};
}
/// x >= 0 with the sign of another.
TESSERA_INLINE Lanes with_sign(Lanes x, Lanes sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(x.lo, _mm256_and_ps(sign.lo, bit)), _mm256_or_ps(x.hi, _mm256_and_ps(sign.hi, bit))};
}

TESSERA_INLINE IntLanes round_to_int(Lanes x) { return {_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)}; }
TESSERA_INLINE Lanes to_float(IntLanes x) { return {_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)}; }
TESSERA_INLINE __m256 power_of_two_half(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
TESSERA_INLINE Lanes power_of_two(IntLanes n) { return {power_of_two_half(n.lo), power_of_two_half(n.hi)}; }
/// The bits of |x|: as integers they order like the values.
TESSERA_INLINE IntLanes magnitude_bits(Lanes x) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  return {_mm256_and_si256(_mm256_castps_si256(x.lo), mask), _mm256_and_si256(_mm256_castps_si256(x.hi), mask)};
}
TESSERA_INLINE IntLanes max_int(IntLanes a, IntLanes b) {
  return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)};
}
TESSERA_INLINE IntLanes add_int(IntLanes a, IntLanes b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
TESSERA_INLINE IntLanes zero_int() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
TESSERA_INLINE int32_t largest_int(IntLanes x) {
  const __m256i eight = _mm256_max_epi32(x.lo, x.hi);
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
TESSERA_INLINE int32_t sum_int(IntLanes x) {
  const __m256i eight = _mm256_add_epi32(x.lo, x.hi);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
/// Sixteen values that fit int8.
TESSERA_INLINE void store_int8(int8_t* p, IntLanes x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.lo, x.hi), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

/// The four folds of a reduction.
TESSERA_INLINE float fold(Lanes x) {
  const __m256 eight = _mm256_add_ps(x.lo, x.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// What is kept of an accumulator until sixteen of them are folded together: here the first fold is already made.
using Partial = __m256;
TESSERA_INLINE Partial to_partial(Lanes x) { return _mm256_add_ps(x.lo, x.hi); }

TESSERA_INLINE __m256 fold_eight(const Partial x[8]) {
  __m256 by_four[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    by_four[i] = _mm256_add_ps(_mm256_permute2f128_ps(x[i], x[i + 4], 0x20),  //
                               _mm256_permute2f128_ps(x[i], x[i + 4], 0x31));
  }
  const __m256 a = _mm256_add_ps(_mm256_shuffle_ps(by_four[0], by_four[1], 0x44),  //
                                 _mm256_shuffle_ps(by_four[0], by_four[1], 0xee));
  const __m256 b = _mm256_add_ps(_mm256_shuffle_ps(by_four[2], by_four[3], 0x44),  //
                                 _mm256_shuffle_ps(by_four[2], by_four[3], 0xee));
  return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));
}
/// Lane j of the result is fold(x[j]): the same additions, made for several accumulators at once.
TESSERA_INLINE Lanes fold_each(const Partial x[16]) { return {fold_eight(x), fold_eight(x + 8)}; }

/// Turns the 16 x 16 matrix of the rows x.
TESSERA_INLINE void transpose_eight(__m256 x[8]) {
  __m256 pairs[8], quads[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    x[c] = _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x20);
    x[4 + c] = _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x31);
  }
}
TESSERA_INLINE void transpose(Lanes x[16]) {
  __m256 quarter[4][8];  // left and right half of rows 0..7, of rows 8..15
  for (int i = 0; i < 8; ++i) {
    quarter[0][i] = x[i].lo;
    quarter[1][i] = x[i].hi;
    quarter[2][i] = x[i + 8].lo;
    quarter[3][i] = x[i + 8].hi;
  }
  for (auto& eight : quarter) transpose_eight(eight);
  for (int i = 0; i < 8; ++i) {
    x[i] = {quarter[0][i], quarter[2][i]};
    x[i + 8] = {quarter[1][i], quarter[3][i]};
  }
}

TESSERA_INLINE float largest(Lanes x) {
  const __m256 eight = _mm256_max_ps(x.lo, x.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

TESSERA_INLINE Lanes widen_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
TESSERA_INLINE __m256 widen_bf16_half(const uint16_t* p) {
  const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}
TESSERA_INLINE Lanes load(const uint16_t* p) { return {widen_bf16_half(p), widen_bf16_half(p + 8)}; }
TESSERA_INLINE Lanes load_first(const uint16_t* p, size_t n) {
  alignas(32) uint16_t buffer[16] = {};
  for (size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
}
/// To bf16, nearest even, on the bits; what is rounded away stays in the low halves.
TESSERA_INLINE __m256i narrow_bf16_half(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet, is_nan);
}
TESSERA_INLINE void store_bf16(uint16_t* p, Lanes x) {
  const __m256i words = _mm256_packus_epi32(_mm256_srli_epi32(narrow_bf16_half(x.lo), 16),  //
                                            _mm256_srli_epi32(narrow_bf16_half(x.hi), 16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(words, 0xd8));
}

/// The bf16 values nearest to x, as floats.
TESSERA_INLINE Lanes round_to_bf16(Lanes x) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000));
  return {_mm256_castsi256_ps(_mm256_and_si256(narrow_bf16_half(x.lo), high)),
          _mm256_castsi256_ps(_mm256_and_si256(narrow_bf16_half(x.hi), high))};
}

// Products of bf16 weights: one step takes two columns of K and sixteen rows, the odd column first.

struct Bf16Weights {
  Lanes even, odd;
};
TESSERA_INLINE Bf16Weights load_bf16_weights(const void* p) {
  const __m256i lo = _mm256_loadu_si256(static_cast<const __m256i*>(p));
  const __m256i hi = _mm256_loadu_si256(static_cast<const __m256i*>(p) + 1);
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000));
  return {{_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))},
          {_mm256_castsi256_ps(_mm256_and_si256(lo, high)), _mm256_castsi256_ps(_mm256_and_si256(hi, high))}};
}
/// The activations of both columns, widened.
struct Bf16Pair {
  float even, odd;
};
TESSERA_INLINE Lanes bf16_dot(Lanes acc, const Bf16Weights& weights, const Bf16Pair* x) {
  return fma(weights.even, broadcast(x->even), fma(weights.odd, broadcast(x->odd), acc));
}

// Integer dot products of quantised weights. One step multiplies the weights of four columns of K and sixteen rows by
// four activations. Columns 0 and 2 and columns 1 and 3 are widened to int16 in place: each pair of products of
// vpmaddwd then lies in the lane of its row. (vpmaddubsw would multiply bytes directly, but saturates.)

struct Bytes {  // 64 of them
  __m256i lo, hi;
};
TESSERA_INLINE Bytes load_bytes(const char* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
TESSERA_INLINE void store_bytes(char* p, const Bytes& x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), x.hi);
}
/// 16 times the low nibble of every byte, 16 times the high nibble.
TESSERA_INLINE Bytes high_nibbles(const Bytes& x) {
  const __m256i mask = _mm256_set1_epi8(static_cast<char>(0xf0));
  return {_mm256_and_si256(x.lo, mask), _mm256_and_si256(x.hi, mask)};
}
TESSERA_INLINE Bytes low_nibbles(const Bytes& x) {
  return high_nibbles({_mm256_slli_epi16(x.lo, 4), _mm256_slli_epi16(x.hi, 4)});
}

struct Q8Weights {
  __m256i even_lo, odd_lo, even_hi, odd_hi;
};
TESSERA_INLINE Q8Weights to_q8_weights(const Bytes& x) {
  const __m256i low_bytes = _mm256_set1_epi16(255);
  return {_mm256_and_si256(x.lo, low_bytes), _mm256_srli_epi16(x.lo, 8), _mm256_and_si256(x.hi, low_bytes),
          _mm256_srli_epi16(x.hi, 8)};
}

TESSERA_INLINE IntLanes broadcast_int(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }

/// The 32 activations of a block, widened, broadcast four at a time.
struct Q8Activations {
  alignas(32) int32_t even[8];
  alignas(32) int32_t odd[8];
  TESSERA_INLINE void prepare(const int8_t* p) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    _mm256_store_si256(reinterpret_cast<__m256i*>(even), _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
    _mm256_store_si256(reinterpret_cast<__m256i*>(odd), _mm256_srai_epi16(x, 8));
  }
  TESSERA_INLINE IntLanes multiply(IntLanes acc, const Q8Weights& weights, int step) const {
    const __m256i x0 = _mm256_set1_epi32(even[step]), x1 = _mm256_set1_epi32(odd[step]);
    const __m256i lo = _mm256_add_epi32(_mm256_madd_epi16(weights.even_lo, x0), _mm256_madd_epi16(weights.odd_lo, x1));
    const __m256i hi = _mm256_add_epi32(_mm256_madd_epi16(weights.even_hi, x0), _mm256_madd_epi16(weights.odd_hi, x1));
    return {_mm256_add_epi32(acc.lo, lo), _mm256_add_epi32(acc.hi, hi)};
  }
};

}  // namespace
}  // namespace tessera::TESSERA_ISA
