// The ops of training, literally.
#include "kernels/reference/numerics.hpp"
#include "kernels/reference/reference.hpp"

namespace tessera::reference {

void gemm_pack(const tessera_gemm_args* args, uint32_t column_begin, uint32_t column_end, float* packed) {
  for (size_t j = column_begin; j < column_end; ++j)
    for (size_t k = 0; k < args->k; ++k) packed[j * args->k + k] = args->b[k * args->b_row + j * args->b_column];
}

void gemm(const tessera_gemm_args* args) {
  const tessera_gemm_args& g = *args;
  const auto value = [&](float x) { return g.round_bf16 != 0 ? widen_bf16(narrow_bf16(x)) : x; };
  for (size_t i = 0; i < g.m; ++i) {
    for (size_t j = 0; j < g.n; ++j) {
      float acc = g.accumulate != 0 ? g.c[i * g.ldc + j] : 0.0f;
      for (size_t k = 0; k < g.k; ++k) {
        const float b = g.packed_b != nullptr ? g.packed_b[j * g.k + k] : g.b[k * g.b_row + j * g.b_column];
        acc = fma(value(g.a[i * g.a_row + k * g.a_column]), value(b), acc);
      }
      g.c[i * g.ldc + j] = acc;
    }
  }
}

tessera_softmax_sums softmax(const float* x, float scale, size_t n, float* out) {
  float largest = x[0] * scale;
  for (size_t i = 1; i < n; ++i) {
    if (x[i] * scale > largest) largest = x[i] * scale;
  }
  largest = largest + 0.0f;
  LaneSum sum;
  for (size_t i = 0; i < n; ++i) {
    out[i] = exp_one(x[i] * scale - largest);
    sum.add(i, out[i]);
  }
  const float total = sum.fold(), inverse = 1.0f / total;
  for (size_t i = 0; i < n; ++i) out[i] = out[i] * inverse;
  return {largest, total};
}

void softmax_backward(const float* p, const float* dp, float scale, size_t n, float* dx) {
  LaneSum sum;
  for (size_t i = 0; i < n; ++i) sum.add_product(i, p[i], dp[i]);
  const float mean = sum.fold();
  for (size_t i = 0; i < n; ++i) dx[i] = (p[i] * (dp[i] - mean)) * scale;
}

float rms_norm_backward(const float* x, const float* weight, const float* dy, float eps, uint32_t n, float* dx) {
  LaneSum squares, products;
  for (size_t i = 0; i < n; ++i) {
    squares.add_product(i, x[i], x[i]);
    products.add_product(i, weight[i] * dy[i], x[i]);
  }
  const float r = 1.0f / square_root(squares.fold() / static_cast<float>(n) + eps);
  const float along = ((r * r) * r) * (products.fold() / static_cast<float>(n));
  for (size_t i = 0; i < n; ++i) dx[i] = dx[i] + fma(-along, x[i], (weight[i] * dy[i]) * r);
  return r;
}

void rms_norm_weight_backward(const float* x, const float* dy, size_t ld, const float* r, uint32_t rows, uint32_t n,
                              float* dweight) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t row = 0; row < rows; ++row) dweight[i] = fma(dy[row * ld + i], x[row * ld + i] * r[row], dweight[i]);
  }
}

void swiglu_backward(const float* gate, const float* up, const float* dout, size_t n, float* dgate, float* dup) {
  for (size_t i = 0; i < n; ++i) {
    const float g = gate[i], u = up[i], d = dout[i];
    const float s = 1.0f / (1.0f + exp_one(0.0f - g));
    dup[i] = d * (g * s);
    dgate[i] = (d * u) * (s * fma(g, 1.0f - s, 1.0f));
  }
}

float sum_of_squares(const float* x, size_t n) {
  LaneSum sum;
  for (size_t i = 0; i < n; ++i) sum.add_product(i, x[i], x[i]);
  return sum.fold();
}

void adamw(const tessera_adamw_args* args, const float* gradient, size_t n, float* weight, float* m, float* v) {
  for (size_t i = 0; i < n; ++i) {
    const float g = gradient[i] * args->gradient_scale;
    m[i] = fma(args->beta1, m[i], args->rest1 * g);
    v[i] = fma(args->beta2, v[i], (args->rest2 * g) * g);
    const float step = (m[i] * args->correction1) / (square_root(v[i] * args->correction2) + args->epsilon);
    weight[i] = fma(-args->learning_rate, step, fma(-args->decay, weight[i], weight[i]));
  }
}

}  // namespace tessera::reference
