/*
 * The ops that training needs beside those of inference: part of the op table (kernel_abi.h), under the same rules. The
 * orders of reduction are in docs/exactness.md, "Training".
 */
#ifndef TESSERA_TRAINING_ABI_H
#define TESSERA_TRAINING_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Rows of A, columns of B and elements along K that one pass of gemm packs. */
#define TESSERA_GEMM_ROWS 336u
#define TESSERA_GEMM_COLUMNS 256u
#define TESSERA_GEMM_DEPTH 256u
/** Floats of scratch that one gemm call needs: packed A and, where the caller has not packed it, B. */
#define TESSERA_GEMM_SCRATCH (TESSERA_GEMM_DEPTH * (TESSERA_GEMM_COLUMNS + TESSERA_GEMM_ROWS))
/** Columns of a packed B count up to a multiple of this: a packed B has k * columns floats. */
#define TESSERA_GEMM_TILE 32u

/**
 * C = A B, or C + A B: c[i][j] = fma(A[i][k], B[k][j], c[i][j]) for k = 0, 1, 2, …, from +0 or from what C holds.
 *
 * A[i][k] lies at a[i * a_row + k * a_column], B[k][j] at b[k * b_row + j * b_column]; of each pair of strides one is 1
 * where speed matters. C does not overlap A or B.
 */
typedef struct tessera_gemm_args {
  const float* a;
  size_t a_row, a_column;
  const float* b;
  size_t b_row, b_column;
  const float* packed_b; /**< what gemm_pack made of B, 64-byte aligned; null: B is packed on the way */
  float* c;              /**< [m][ldc] */
  size_t ldc;
  uint32_t m, n, k;    /**< k may be 0: C is then zero, or stays */
  uint32_t accumulate; /**< 0: from zero; else from what C holds */
  uint32_t round_bf16; /**< else than 0: every A[i][k] and B[k][j] is rounded to bf16 first */
  float* scratch;      /**< TESSERA_GEMM_SCRATCH floats, 64-byte aligned */
} tessera_gemm_args;

/** What softmax found in its row. */
typedef struct tessera_softmax_sums {
  float max; /**< of the scaled values */
  float sum; /**< of exp(scaled value - max) */
} tessera_softmax_sums;

typedef struct tessera_adamw_args {
  float gradient_scale; /**< clipping */
  float beta1, beta2;
  float rest1, rest2;             /**< 1 - beta1, 1 - beta2 */
  float correction1, correction2; /**< 1 / (1 - beta^step) */
  float learning_rate;
  float decay; /**< learning rate times weight decay */
  float epsilon;
} tessera_adamw_args;

typedef struct tessera_training_ops {
  void (*gemm)(const tessera_gemm_args* args);
  /**
   * Packs the columns column_begin .. column_end - 1 of B (its other fields are not looked at but n, k and round_bf16)
   * into their place in `packed`; column_begin is a multiple of TESSERA_GEMM_TILE, and so is column_end unless it is n.
   */
  void (*gemm_pack)(const tessera_gemm_args* args, uint32_t column_begin, uint32_t column_end, float* packed);

  /** x[i] * scale = z[i]; out[i] = exp(z[i] - max z) / sum; out may be x. n >= 1. */
  tessera_softmax_sums (*softmax)(const float* x, float scale, size_t n, float* out);
  /** Gradient of x of softmax(x * scale) = p, from that of p; dx may be dp. */
  void (*softmax_backward)(const float* p, const float* dp, float scale, size_t n, float* dx);

  /** One row of rms_norm: dx[i] += its gradient. Gives 1 / sqrt(mean(x^2) + eps). */
  float (*rms_norm_backward)(const float* x, const float* weight, const float* dy, float eps, uint32_t n, float* dx);
  /** dweight[i] = fma(dy[row][i], x[row][i] * r[row], dweight[i]), rows in order, for n columns of rows [ld]. */
  void (*rms_norm_weight_backward)(const float* x, const float* dy, size_t ld, const float* r, uint32_t rows,
                                   uint32_t n, float* dweight);

  /** Gradients of silu(gate) * up; dgate and dup may be gate, up or dout. */
  void (*swiglu_backward)(const float* gate, const float* up, const float* dout, size_t n, float* dgate, float* dup);

  /** sum of x[i]^2, a contiguous reduction. */
  float (*sum_of_squares)(const float* x, size_t n);

  /** One step of AdamW (Loshchilov, Hutter, "Decoupled weight decay regularization", 2019) on n weights. */
  void (*adamw)(const tessera_adamw_args* args, const float* gradient, size_t n, float* weight, float* m, float* v);
} tessera_training_ops;

#ifdef __cplusplus
}
#endif

#endif /* TESSERA_TRAINING_ABI_H */
