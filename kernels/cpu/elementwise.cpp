// Norms, RoPE, quantisation of activations, rounding, activation functions, embedding rows and the pieces of a softmax.
#include "kernels/cpu/ops.hpp"
#include "kernels/cpu/vec.hpp"

namespace tessera::TESSERA_ISA {
namespace {

/// out[i] = op(i-th lanes of a, of b), i < n, reading and writing nothing beyond n.
template <typename Op>
TESSERA_INLINE void map(const float* a, const float* b, size_t n, float* out, Op op) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, op(load(a + i), load(b + i)));
  if (i < n) store_first(out + i, n - i, op(load_first(a + i, n - i), load_first(b + i, n - i)));
}

TESSERA_INLINE void quantize_block(Lanes first, Lanes second, int8_t* values, float* scale, int32_t* correction) {
  const int32_t amax_bits = largest_int(max_int(magnitude_bits(first), magnitude_bits(second)));
  float amax;
  __builtin_memcpy(&amax, &amax_bits, sizeof amax);
  const bool is_zero = amax < 1e-30f;
  const Lanes inv = broadcast(127.0f / amax);
  const IntLanes q0 = is_zero ? zero_int() : round_to_int(mul(first, inv));
  const IntLanes q1 = is_zero ? zero_int() : round_to_int(mul(second, inv));
  store_int8(values, q0);
  store_int8(values + kLanes, q1);
  *scale = is_zero ? 0.0f : amax / 127.0f;
  *correction = -128 * sum_int(add_int(q0, q1));
}

/// out[i] = weight(weights of the lane, block, i) * scale of the block, i within the block.
template <typename Weight>
TESSERA_INLINE void unpack_blocks(const void* tile, uint32_t lane, uint32_t k, float* out, Weight weight) {
  const size_t blocks = (size_t{k} + TESSERA_BLOCK - 1) / TESSERA_BLOCK;
  const uint16_t* scales = static_cast<const uint16_t*>(tile) + lane;
  const uint8_t* weights = static_cast<const uint8_t*>(tile) + (blocks * kLanes * 2 + 63) / 64 * 64 + lane * 4;
  for (size_t b = 0; b < blocks; ++b) {
    const float scale = _cvtsh_ss(scales[b * kLanes]);
    const size_t count = k - b * TESSERA_BLOCK < TESSERA_BLOCK ? k - b * TESSERA_BLOCK : TESSERA_BLOCK;
    for (size_t i = 0; i < count; ++i) {
      out[b * TESSERA_BLOCK + i] = static_cast<float>(int32_t{weight(weights, b, i)}) * scale;
    }
  }
}

#if defined(__AVX512BF16__)
using Bf16Value = uint16_t;
TESSERA_INLINE void store_rounded(uint16_t* p, Lanes x) { store_bf16(p, x); }
TESSERA_INLINE void store_rounded_first(uint16_t* p, size_t n, Lanes x) {
  uint16_t rest[kLanes];
  store_bf16(rest, x);
  for (size_t i = 0; i < n; ++i) p[i] = rest[i];
}
#else
using Bf16Value = float;
TESSERA_INLINE void store_rounded(float* p, Lanes x) { store(p, round_to_bf16(x)); }
TESSERA_INLINE void store_rounded_first(float* p, size_t n, Lanes x) { store_first(p, n, round_to_bf16(x)); }
#endif

}  // namespace

void bf16_rows(const float* x, size_t ldx, uint32_t rows, uint32_t k, const tessera_bf16_rows* out) {
  for (uint32_t row = 0; row < rows; ++row, x += ldx) {
    Bf16Value* values = static_cast<Bf16Value*>(out->values) + row * out->ld_values;
    size_t i = 0;
    for (; i + kLanes <= k; i += kLanes) store_rounded(values + i, load(x + i));
    if (i < k) store_rounded_first(values + i, k - i, load_first(x + i, k - i));
    if (k % 2 != 0) values[k] = 0;
  }
}

void quantize_rows(const float* x, size_t ldx, uint32_t rows, uint32_t k, const tessera_q8_rows* out) {
  for (size_t begin = 0, group = 0; begin < rows; begin += out->group, group += out->group_stride) {
    const size_t count = rows - begin < out->group ? rows - begin : out->group;
    for (size_t i = 0, entry = group; i < k; i += TESSERA_BLOCK, entry += out->group) {
      const size_t rest = k - i;
      for (size_t row = 0; row < count; ++row) {
        const float* const values = x + (begin + row) * ldx + i;
        const Lanes first = rest < kLanes ? load_first(values, rest) : load(values);
        const Lanes second = rest >= TESSERA_BLOCK ? load(values + kLanes)
                             : rest > kLanes       ? load_first(values + kLanes, rest - kLanes)
                                                   : zero();
        quantize_block(first, second, out->values + (entry + row) * TESSERA_BLOCK, out->scales + entry + row,
                       out->corrections + entry + row);
      }
    }
  }
}

void unpack_row_f32(const void* tile, uint32_t lane, uint32_t k, float* out) {
  const float* w = static_cast<const float*>(tile) + lane;
  for (size_t i = 0; i < k; ++i) out[i] = w[i * kLanes];
}

void unpack_row_bf16(const void* tile, uint32_t lane, uint32_t k, float* out) {
  const uint16_t* w = static_cast<const uint16_t*>(tile) + lane * 2;
  for (size_t i = 0; i < k; ++i) {
    const uint32_t bits = uint32_t{w[i / 2 * kLanes * 2 + i % 2]} << 16;
    __builtin_memcpy(out + i, &bits, sizeof bits);
  }
}

void unpack_row_q8(const void* tile, uint32_t lane, uint32_t k, float* out) {
  unpack_blocks(tile, lane, k, out, [](const uint8_t* weights, size_t block, size_t i) TESSERA_LAMBDA {
    return weights[(block * (TESSERA_BLOCK / 4) + i / 4) * kLanes * 4 + i % 4] - 128;
  });
}

void unpack_row_q4(const void* tile, uint32_t lane, uint32_t k, float* out) {
  unpack_blocks(tile, lane, k, out, [](const uint8_t* weights, size_t block, size_t i) TESSERA_LAMBDA {
    const int32_t both = weights[(block * (TESSERA_BLOCK / 8) + i % 16 / 4) * kLanes * 4 + i % 4];
    return (i < 16 ? both & 15 : both >> 4) - 8;
  });
}

void rms_norm(const float* x, const float* weight, float eps, uint32_t n, float* y) {
  Lanes sum = zero();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes value = load(x + i);
    sum = fma(value, value, sum);
  }
  if (i < n) {
    const Lanes value = load_first(x + i, n - i);
    sum = fma(value, value, sum);  // lanes past the end add +0, and a sum of squares is never -0
  }
  const Lanes mean = div(broadcast(fold(sum)), broadcast(static_cast<float>(n)));
  const Lanes r = div(broadcast(1.0f), square_root(add(mean, broadcast(eps))));
  map(x, weight, n, y, [r](Lanes value, Lanes scale) TESSERA_LAMBDA { return mul(mul(value, r), scale); });
}

void rope(float* x, const float* cos, const float* sin, uint32_t half) {
  size_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const Lanes x0 = load(x + i), x1 = load(x + half + i), c = load(cos + i), s = load(sin + i);
    store(x + i, fnma(x1, s, mul(x0, c)));
    store(x + half + i, fma(x0, s, mul(x1, c)));
  }
  if (i < half) {
    const size_t rest = half - i;
    const Lanes x0 = load_first(x + i, rest), x1 = load_first(x + half + i, rest);
    const Lanes c = load_first(cos + i, rest), s = load_first(sin + i, rest);
    store_first(x + i, rest, fnma(x1, s, mul(x0, c)));
    store_first(x + half + i, rest, fma(x0, s, mul(x1, c)));
  }
}

void round_bf16(const float* x, size_t n, uint16_t* out) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_bf16(out + i, load(x + i));
  if (i < n) {
    uint16_t rest[kLanes];
    store_bf16(rest, load_first(x + i, n - i));
    for (size_t j = 0; j < n - i; ++j) out[i + j] = rest[j];
  }
}

void swiglu(const float* gate, const float* up, size_t n, float* out) {
  map(gate, up, n, out,
      [](Lanes g, Lanes u) TESSERA_LAMBDA { return mul(div(g, add(broadcast(1.0f), exp_lanes(sub(zero(), g)))), u); });
}

void add_rows(const float* a, const float* b, size_t n, float* out) {
  map(a, b, n, out, [](Lanes x, Lanes y) TESSERA_LAMBDA { return add(x, y); });
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, uint32_t n, float* y) {
  const Lanes count = broadcast(static_cast<float>(n));
  const size_t whole = n / kLanes * kLanes, rest = n - whole;
  Lanes sum = zero(), squares = zero();
  for (size_t i = 0; i < whole; i += kLanes) sum = add(sum, load(x + i));
  if (rest != 0) sum = first_of(rest, add(sum, load_first(x + whole, rest)), sum);
  const Lanes mean = div(broadcast(fold(sum)), count);
  for (size_t i = 0; i < whole; i += kLanes) {
    const Lanes d = sub(load(x + i), mean);
    squares = fma(d, d, squares);
  }
  if (rest != 0) {
    const Lanes d = sub(load_first(x + whole, rest), mean);
    squares = first_of(rest, fma(d, d, squares), squares);
  }
  const Lanes variance = div(broadcast(fold(squares)), count);
  const Lanes r = div(broadcast(1.0f), square_root(add(variance, broadcast(eps))));
  for (size_t i = 0; i < whole; i += kLanes) {
    store(y + i, fma(mul(sub(load(x + i), mean), r), load(weight + i), load(bias + i)));
  }
  if (rest != 0) {
    const Lanes value = mul(sub(load_first(x + whole, rest), mean), r);
    store_first(y + whole, rest, fma(value, load_first(weight + whole, rest), load_first(bias + whole, rest)));
  }
}

void gelu_tanh(const float* x, size_t n, float* out) {
  map(x, x, n, out, [](Lanes value, Lanes) TESSERA_LAMBDA {
    const Lanes u = mul(value, fma(mul(value, value), broadcast(0.0713548163f), broadcast(1.59576912f)));
    return div(value, add(broadcast(1.0f), exp_lanes(sub(zero(), u))));
  });
}

void gelu_erf(const float* x, size_t n, float* out) {
  map(x, x, n, out, [](Lanes value, Lanes) TESSERA_LAMBDA {
    return mul(mul(value, broadcast(0.5f)), add(broadcast(1.0f), erf_lanes(mul(value, broadcast(0.707106781f)))));
  });
}

void mul_rows(const float* a, const float* b, size_t n, float* out) {
  map(a, b, n, out, [](Lanes x, Lanes y) TESSERA_LAMBDA { return mul(x, y); });
}

void scale_rows(const float* x, size_t n, float factor, float* out) {
  map(x, x, n, out, [factor](Lanes value, Lanes) TESSERA_LAMBDA { return mul(value, broadcast(factor)); });
}

void add_scaled(const float* x, size_t n, float factor, float* out) {
  map(x, out, n, out, [factor](Lanes value, Lanes sum) TESSERA_LAMBDA { return fma(value, broadcast(factor), sum); });
}

void soft_cap(const float* x, size_t n, float cap, float* out) {
  map(x, x, n, out,
      [cap](Lanes value, Lanes) TESSERA_LAMBDA { return mul(tanh_lanes(div(value, broadcast(cap))), broadcast(cap)); });
}

float max_of(const float* x, size_t n) {
  Lanes most = broadcast(x[0]);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = max(most, load(x + i));
  if (i < n) most = max(most, first_of(n - i, load_first(x + i, n - i), most));
  return largest(most) + 0.0f;  // -0 and denormals become +0: which of several zeros was found does not show
}

float exp_sum(const float* x, size_t n, float shift) {
  const Lanes shifts = broadcast(shift);
  Lanes sum = zero();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = add(sum, exp_lanes(sub(load(x + i), shifts)));
  if (i < n) sum = first_of(n - i, add(sum, exp_lanes(sub(load_first(x + i, n - i), shifts))), sum);
  return fold(sum);
}

void exp_rows(const float* x, size_t n, float* y) {
  map(x, x, n, y, [](Lanes value, Lanes) TESSERA_LAMBDA { return exp_lanes(value); });
}

}  // namespace tessera::TESSERA_ISA
