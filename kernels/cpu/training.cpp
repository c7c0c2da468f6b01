// Backward passes of the norm, the softmax and SwiGLU, and the optimizer.
#include "kernels/cpu/ops.hpp"
#include "kernels/cpu/vec.hpp"

namespace tessera::TESSERA_ISA {
namespace {

/// Calls op(i, read, write) for the vectors of n elements; read(p) gives the lanes of p at i, zero past the end.
template <typename Op>
TESSERA_INLINE void each(size_t n, Op op) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    op([i](const float* p) TESSERA_LAMBDA { return load(p + i); },
       [i](float* p, Lanes x) TESSERA_LAMBDA { store(p + i, x); });
  }
  if (i < n) {
    op([i, n](const float* p) TESSERA_LAMBDA { return load_first(p + i, n - i); },
       [i, n](float* p, Lanes x) TESSERA_LAMBDA { store_first(p + i, n - i, x); });
  }
}

}  // namespace

tessera_softmax_sums softmax(const float* x, float scale, size_t n, float* out) {
  const Lanes factor = broadcast(scale);
  Lanes most = mul(broadcast(x[0]), factor);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = max(most, mul(load(x + i), factor));
  if (i < n) most = max(most, first_of(n - i, mul(load_first(x + i, n - i), factor), most));
  const float shift = largest(most) + 0.0f;
  const Lanes shifts = broadcast(shift);
  Lanes sum = zero();
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const Lanes e = exp_lanes(sub(mul(load(x + i), factor), shifts));
    store(out + i, e);
    sum = add(sum, e);
  }
  if (i < n) {
    const Lanes e = exp_lanes(sub(mul(load_first(x + i, n - i), factor), shifts));
    store_first(out + i, n - i, e);
    sum = first_of(n - i, add(sum, e), sum);
  }
  const float total = fold(sum);
  const Lanes inverse = div(broadcast(1.0f), broadcast(total));
  each(n, [&](auto read, auto write) TESSERA_LAMBDA { write(out, mul(read(out), inverse)); });
  return {shift, total};
}

void softmax_backward(const float* p, const float* dp, float scale, size_t n, float* dx) {
  Lanes sum = zero();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = fma(load(p + i), load(dp + i), sum);
  if (i < n) sum = first_of(n - i, fma(load_first(p + i, n - i), load_first(dp + i, n - i), sum), sum);
  const Lanes mean = broadcast(fold(sum)), factor = broadcast(scale);
  each(n, [&](auto read, auto write) TESSERA_LAMBDA { write(dx, mul(mul(read(p), sub(read(dp), mean)), factor)); });
}

float rms_norm_backward(const float* x, const float* weight, const float* dy, float eps, uint32_t n, float* dx) {
  Lanes squares = zero(), products = zero();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes value = load(x + i);
    squares = fma(value, value, squares);
    products = fma(mul(load(weight + i), load(dy + i)), value, products);
  }
  if (i < n) {
    const Lanes value = load_first(x + i, n - i);
    squares = fma(value, value, squares);
    const Lanes sum = fma(mul(load_first(weight + i, n - i), load_first(dy + i, n - i)), value, products);
    products = first_of(n - i, sum, products);
  }
  const Lanes count = broadcast(static_cast<float>(n));
  const Lanes mean = div(broadcast(fold(squares)), count);
  const Lanes r = div(broadcast(1.0f), square_root(add(mean, broadcast(eps))));
  const Lanes along = mul(mul(mul(r, r), r), div(broadcast(fold(products)), count));
  each(n, [&](auto read, auto write) TESSERA_LAMBDA {
    const Lanes gradient = fnma(along, read(x), mul(mul(read(weight), read(dy)), r));
    write(dx, add(read(dx), gradient));
  });
  alignas(64) float scales[kLanes];
  store(scales, r);
  return scales[0];
}

void rms_norm_weight_backward(const float* x, const float* dy, size_t ld, const float* r, uint32_t rows, uint32_t n,
                              float* dweight) {
  each(n, [&](auto read, auto write) TESSERA_LAMBDA {
    Lanes sum = read(dweight);
    for (uint32_t row = 0; row < rows; ++row)
      sum = fma(read(dy + row * ld), mul(read(x + row * ld), broadcast(r[row])), sum);
    write(dweight, sum);
  });
}

void swiglu_backward(const float* gate, const float* up, const float* dout, size_t n, float* dgate, float* dup) {
  const Lanes one = broadcast(1.0f);
  each(n, [&](auto read, auto write) TESSERA_LAMBDA {
    const Lanes g = read(gate), u = read(up), d = read(dout);
    const Lanes s = div(one, add(one, exp_lanes(sub(zero(), g))));
    write(dup, mul(d, mul(g, s)));
    write(dgate, mul(mul(d, u), mul(s, fma(g, sub(one, s), one))));
  });
}

float sum_of_squares(const float* x, size_t n) {
  Lanes sum = zero();
  each(n, [&](auto read, auto) TESSERA_LAMBDA {
    const Lanes value = read(x);
    sum = fma(value, value, sum);  // lanes past the end add +0, and a sum of squares is never -0
  });
  return fold(sum);
}

void adamw(const tessera_adamw_args* args, const float* gradient, size_t n, float* weight, float* m, float* v) {
  const Lanes scale = broadcast(args->gradient_scale), beta1 = broadcast(args->beta1), beta2 = broadcast(args->beta2);
  const Lanes rest1 = broadcast(args->rest1), rest2 = broadcast(args->rest2);
  const Lanes correction1 = broadcast(args->correction1), correction2 = broadcast(args->correction2);
  const Lanes rate = broadcast(args->learning_rate), decay = broadcast(args->decay);
  const Lanes epsilon = broadcast(args->epsilon);
  each(n, [&](auto read, auto write) TESSERA_LAMBDA {
    const Lanes g = mul(read(gradient), scale);
    const Lanes first = fma(beta1, read(m), mul(rest1, g));
    const Lanes second = fma(beta2, read(v), mul(mul(rest2, g), g));
    write(m, first);
    write(v, second);
    const Lanes step = div(mul(first, correction1), add(square_root(mul(second, correction2)), epsilon));
    const Lanes w = read(weight);
    write(weight, fnma(rate, step, fnma(decay, w, w)));
  });
}

}  // namespace tessera::TESSERA_ISA
