// Norm, RoPE, activation, rounding and the pieces of a softmax.
#include "kernels/reference/numerics.hpp"
#include "kernels/reference/reference.hpp"

namespace tessera::reference {

void rms_norm(const float* x, const float* weight, float eps, uint32_t n, float* y) {
  LaneSum squares;
  for (size_t i = 0; i < n; ++i) squares.add_product(i, x[i], x[i]);
  const float r = 1.0f / square_root(squares.fold() / static_cast<float>(n) + eps);
  for (size_t i = 0; i < n; ++i) y[i] = (x[i] * r) * weight[i];
}

void rope(float* x, const float* cos, const float* sin, uint32_t half) {
  for (size_t i = 0; i < half; ++i) {
    const float x0 = x[i];
    const float x1 = x[i + half];
    x[i] = fma(-x1, sin[i], x0 * cos[i]);
    x[i + half] = fma(x0, sin[i], x1 * cos[i]);
  }
}

void round_bf16(const float* x, size_t n, uint16_t* out) {
  for (size_t i = 0; i < n; ++i) out[i] = narrow_bf16(x[i]);
}

void swiglu(const float* gate, const float* up, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = (gate[i] / (1.0f + exp_one(0.0f - gate[i]))) * up[i];
}

void add(const float* a, const float* b, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, uint32_t n, float* y) {
  LaneSum sum, squares;
  for (size_t i = 0; i < n; ++i) sum.add(i, x[i]);
  const float mean = sum.fold() / static_cast<float>(n);
  for (size_t i = 0; i < n; ++i) squares.add_product(i, x[i] - mean, x[i] - mean);
  const float r = 1.0f / square_root(squares.fold() / static_cast<float>(n) + eps);
  for (size_t i = 0; i < n; ++i) y[i] = fma((x[i] - mean) * r, weight[i], bias[i]);
}

void gelu_tanh(const float* x, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    const float u = x[i] * fma(x[i] * x[i], 0.0713548163f, 1.59576912f);
    out[i] = x[i] / (1.0f + exp_one(0.0f - u));
  }
}

void gelu_erf(const float* x, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = (x[i] * 0.5f) * (1.0f + erf_one(x[i] * 0.707106781f));
}

void mul_rows(const float* a, const float* b, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

void scale_rows(const float* x, size_t n, float factor, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * factor;
}

void add_scaled(const float* x, size_t n, float factor, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = fma(x[i], factor, out[i]);
}

void soft_cap(const float* x, size_t n, float cap, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = tanh_one(x[i] / cap) * cap;
}

float max(const float* x, size_t n) {
  float largest = x[0];
  for (size_t i = 1; i < n; ++i) {
    if (x[i] > largest) largest = x[i];
  }
  return largest + 0.0f;  // -0 and denormals become +0: which of several zeros was found does not show
}

float exp_sum(const float* x, size_t n, float shift) {
  LaneSum sum;
  for (size_t i = 0; i < n; ++i) sum.add(i, exp_one(x[i] - shift));
  return sum.fold();
}

void exp(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = exp_one(x[i]);
}

}  // namespace tessera::reference
