/*
 * The op table: the only thing that the runtime knows of a kernel module.
 *
 * A module (scalar reference, AVX2, AVX-512, later CUDA) fills one `tessera_op_table`. Every function in it
 *   - is single-threaded over the range it is given; the caller splits work over threads,
 *   - checks nothing: the launcher (runtime/device, runtime/model) has checked shapes, alignment and bounds,
 *   - allocates nothing and keeps no state,
 *   - expects flush-to-zero and denormals-as-zero to be on in the calling thread,
 *   - performs every floating-point reduction in the order written in docs/exactness.md, so that all modules agree
 *     to the bit.
 *
 * Plain C, nothing but the fixed-width integers: a module can be opened with dlopen and written in any language.
 */
#ifndef TESSERA_KERNEL_ABI_H
#define TESSERA_KERNEL_ABI_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/abi/training_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Raised whenever a signature, a layout or an order of reduction in this file changes. */
#define TESSERA_KERNEL_ABI_VERSION 4

/** Output rows in one weight tile, and lanes of a reduction along contiguous elements. */
#define TESSERA_LANES 16
/** Elements along K that share one quantisation scale. */
#define TESSERA_BLOCK 32
/** Rows of quantised activations that lie together. */
#define TESSERA_ROW_GROUP 12
/** Absolute positions in one run of the attention softmax. */
#define TESSERA_SOFTMAX_RUN 128

/**
 * Packed weights of one unit (a slice of a matrix), f32: tile t holds output rows 16t..16t+15 as
 *     float w[k][16]
 * and tile t+1 follows `tile_stride` bytes later. Rows beyond the matrix are zero.
 *
 * bf16: a tile is
 *     u16 w[ceil(k / 2)][16][2]    (pair of k, row, k within the pair); a missing last k is zero
 *
 * q8: a tile is
 *     f16 scale[blocks][16], padded with zeros to a multiple of 64 bytes, then
 *     u8  w[blocks][8][16][4]      (block, group of four k, row, k within the group), weight + 128
 * where blocks = ceil(k / 32); k beyond the matrix is stored as 128, i.e. zero.
 *
 * q4: a tile is
 *     f16 scale[blocks][16], as in q8, then
 *     u8  w[blocks][4][16][4]      (block, group, row, k within the group), two weights a byte, each weight + 8:
 *                                  the low nibble is k = 4 group + i of the block, the high one k = 16 + 4 group + i
 * with k beyond the matrix stored as 8, i.e. zero. Byte 4 group + i of a row is byte 4 group + i of a GGUF Q4_0 block.
 */

/** y[token][tile*16 + lane - tile_begin*16] = sum over k of w[k][lane] * x[token][k]; see exactness.md, "Matrix". */
typedef struct tessera_matmul_f32_args {
  const void* weights; /**< tile 0 of the unit, 64-byte aligned */
  size_t tile_stride;  /**< bytes from one tile to the next */
  uint32_t tile_begin; /**< first tile to compute */
  uint32_t tile_end;   /**< one past the last tile */
  uint32_t k;          /**< elements reduced */
  uint32_t tokens;     /**< rows of x and y */
  const float* x;      /**< [tokens][ldx], only the first k of each row are read */
  size_t ldx;          /**< floats from one row of x to the next */
  float* y;            /**< [tokens][ldy], row 16*tile_begin at y[0][0] */
  size_t ldy;          /**< floats from one row of y to the next */
  uint32_t accumulate; /**< 0: y becomes the sums; else y + sum, one addition per element */
  const void* next;    /**< what the caller reads after the last tile, to be prefetched; null: what lies behind it */
} tessera_matmul_f32_args;

/** In what form matmul_bf16 of a module reads activations, all of them rounded to bf16. */
typedef enum tessera_bf16_form {
  TESSERA_BF16_PACKED = 0, /**< u16, for modules that multiply bf16 itself */
  TESSERA_BF16_WIDENED = 1 /**< f32, for modules that widen the weights */
} tessera_bf16_form;

/** Rows of activations rounded to bf16, in the form of the module: what bf16_rows writes and matmul_bf16 reads. */
typedef struct tessera_bf16_rows {
  void* values;     /**< [rows][ld_values] u16 or f32, 4-byte aligned; zero at k where k is odd */
  size_t ld_values; /**< values from one row to the next, a multiple of 2 */
} tessera_bf16_rows;

typedef struct tessera_matmul_bf16_args {
  const void* weights;
  size_t tile_stride;
  uint32_t tile_begin;
  uint32_t tile_end;
  uint32_t k; /**< elements reduced, a multiple of 2 */
  uint32_t tokens;
  tessera_bf16_rows x;
  float* y;
  size_t ldy;
  uint32_t accumulate;
  const void* next;
} tessera_matmul_bf16_args;

/**
 * Activations quantised per block of 32: what quantize_rows writes and matmul_q8 and matmul_q4 read. Rows that are
 * multiplied together lie together: block b of row r is entry r / group * group_stride + b * group + r % group.
 */
typedef struct tessera_q8_rows {
  int8_t* values;       /**< [entries][32], zero beyond k up to the end of the last block */
  float* scales;        /**< [entries] */
  int32_t* corrections; /**< [entries], -128 * sum of the block's values */
  size_t group;         /**< TESSERA_ROW_GROUP, or any number from the rows up to it */
  size_t group_stride;  /**< entries from one group to the next */
} tessera_q8_rows;

/** Of matmul_q8 and of matmul_q4. */
typedef struct tessera_matmul_q8_args {
  const void* weights;
  size_t tile_stride;
  uint32_t tile_begin;
  uint32_t tile_end;
  uint32_t blocks; /**< blocks of 32 along K */
  uint32_t tokens;
  tessera_q8_rows x;
  float* y;
  size_t ldy;
  uint32_t accumulate;
  const void* next;
} tessera_matmul_q8_args;

/** Storage type of the KV cache. */
typedef enum tessera_kv_type { TESSERA_KV_F32 = 0, TESSERA_KV_BF16 = 1 } tessera_kv_type;

/**
 * Attention of several query vectors against one KV head of one sequence.
 *
 * The KV head's positions lie in pages: position p is row p % page_positions of page page_ids[p / page_positions], at
 *     base + (page_id * page_stride) bytes + (p % page_positions) * head_dim elements.
 * page_positions is a multiple of 16 and divides 128. Query i sees positions starts[i] .. lengths[i]-1 (starts[i] <
 * lengths[i]). Pages are whole in memory: K rows past the visible length or before the first visible position, up to a
 * multiple of 16, may be read and are dropped; runs of 128 positions that no query sees are not read. `out` never
 * overlaps `q`.
 */
typedef struct tessera_attention_args {
  tessera_kv_type kv_type;
  const void* k_base; /**< K of this (layer, KV head): page 0 */
  const void* v_base; /**< V of this (layer, KV head): page 0 */
  size_t page_stride; /**< bytes from one page to the next of the same (layer, KV head) */
  const uint32_t* page_ids;
  uint32_t page_positions;
  uint32_t head_dim;
  float scale;             /**< multiplies each q.k */
  uint32_t queries;        /**< number of query vectors */
  const float* const* q;   /**< [queries] pointers to [head_dim] */
  float* const* out;       /**< [queries] pointers to [head_dim] */
  const uint32_t* lengths; /**< [queries] one past the last visible position */
  const uint32_t* starts;  /**< [queries] first visible position; null: 0 for all */
  float soft_cap;          /**< scores become tanh(score / soft_cap) * soft_cap; 0: they stay */
  float* scratch;          /**< TESSERA_ATTENTION_SCRATCH(head_dim) floats, 64-byte aligned */
} tessera_attention_args;

/** Floats of scratch that one attention call needs. */
#define TESSERA_ATTENTION_SCRATCH(head_dim) (2048u + 256u * (size_t)(head_dim))

typedef struct tessera_op_table {
  uint32_t abi_version; /**< TESSERA_KERNEL_ABI_VERSION */
  const char* name;     /**< "scalar", "avx2", "avx512", "avx512bf16" */
  tessera_bf16_form bf16_form;

  void (*matmul_f32)(const tessera_matmul_f32_args* args);
  void (*matmul_bf16)(const tessera_matmul_bf16_args* args);
  void (*matmul_q8)(const tessera_matmul_q8_args* args);
  void (*matmul_q4)(const tessera_matmul_q8_args* args);

  /** Rounds rows of x [rows][ldx] (k elements each) to bf16, nearest even, into the form of this module. */
  void (*bf16_rows)(const float* x, size_t ldx, uint32_t rows, uint32_t k, const tessera_bf16_rows* out);

  /** Quantises rows of x [rows][ldx] (k elements each) into out; see exactness.md, "Activation quantisation". */
  void (*quantize_rows)(const float* x, size_t ldx, uint32_t rows, uint32_t k, const tessera_q8_rows* out);

  /** out[i] = weight of output row `lane` of one tile at column i, i < k: how an embedding row is read. */
  void (*unpack_row_f32)(const void* tile, uint32_t lane, uint32_t k, float* out);
  /** The same for bf16, widened. */
  void (*unpack_row_bf16)(const void* tile, uint32_t lane, uint32_t k, float* out);
  /** The same for q8: out[i] = float(w - 128) * scale of its block. */
  void (*unpack_row_q8)(const void* tile, uint32_t lane, uint32_t k, float* out);
  /** The same for q4: out[i] = float(w - 8) * scale of its block. */
  void (*unpack_row_q4)(const void* tile, uint32_t lane, uint32_t k, float* out);

  /** y[i] = (x[i] * (1 / sqrt(mean(x^2) + eps))) * weight[i]; y may be x. */
  void (*rms_norm)(const float* x, const float* weight, float eps, uint32_t n, float* y);

  /** Rotates one head in place: pairs (i, i + half), i < half; cos and sin have `half` elements. */
  void (*rope)(float* x, const float* cos, const float* sin, uint32_t half);

  /** Rounds n floats to bf16, to nearest even. */
  void (*round_bf16)(const float* x, size_t n, uint16_t* out);

  void (*attention)(const tessera_attention_args* args);

  /** out[i] = silu(gate[i]) * up[i]; out may be gate or up. */
  void (*swiglu)(const float* gate, const float* up, size_t n, float* out);

  /** out[i] = a[i] + b[i]; out may be a or b. */
  void (*add)(const float* a, const float* b, size_t n, float* out);

  /** y = fma((x - mean) * (1 / sqrt(mean((x - mean)^2) + eps)), weight, bias), element by element; y may be x. */
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, uint32_t n, float* y);
  /** out[i] = gelu(x[i]), by its approximation with tanh; out may be x. */
  void (*gelu_tanh)(const float* x, size_t n, float* out);
  /** out[i] = gelu(x[i]), by erf; out may be x. */
  void (*gelu_erf)(const float* x, size_t n, float* out);
  /** out[i] = a[i] * b[i]; out may be a or b. */
  void (*mul)(const float* a, const float* b, size_t n, float* out);
  /** out[i] = x[i] * factor; out may be x. */
  void (*scale)(const float* x, size_t n, float factor, float* out);
  /** out[i] = fma(x[i], factor, out[i]). */
  void (*add_scaled)(const float* x, size_t n, float factor, float* out);
  /** out[i] = tanh(x[i] / cap) * cap; out may be x. */
  void (*soft_cap)(const float* x, size_t n, float cap, float* out);

  /** Largest of n >= 1 floats, none of them NaN, plus 0: never -0. */
  float (*max)(const float* x, size_t n);
  /** sum of exp(x[i] - shift) in the lane order of exactness.md, "Contiguous reductions". */
  float (*exp_sum)(const float* x, size_t n, float shift);
  /** y[i] = exp(x[i]); for tests and the self-test. */
  void (*exp)(const float* x, size_t n, float* y);

  const tessera_training_ops* training; /**< null: the module cannot train */
} tessera_op_table;

#ifdef __cplusplus
}
#endif

#endif /* TESSERA_KERNEL_ABI_H */
