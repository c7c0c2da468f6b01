// The scalar ops, one function per entry of the op table. Nothing here is fast: each function is the sentence of
// docs/exactness.md written down, and tests/kernels holds every other module against it bit by bit.
#pragma once

#include "kernels/abi/kernel_abi.h"

namespace tessera::reference {

void matmul_f32(const tessera_matmul_f32_args* args);
void matmul_bf16(const tessera_matmul_bf16_args* args);
void matmul_q8(const tessera_matmul_q8_args* args);
void matmul_q4(const tessera_matmul_q8_args* args);
void bf16_rows(const float* x, size_t ldx, uint32_t rows, uint32_t k, const tessera_bf16_rows* out);
void quantize_rows(const float* x, size_t ldx, uint32_t rows, uint32_t k, const tessera_q8_rows* out);
void unpack_row_f32(const void* tile, uint32_t lane, uint32_t k, float* out);
void unpack_row_bf16(const void* tile, uint32_t lane, uint32_t k, float* out);
void unpack_row_q8(const void* tile, uint32_t lane, uint32_t k, float* out);
void unpack_row_q4(const void* tile, uint32_t lane, uint32_t k, float* out);
void attention(const tessera_attention_args* args);
void rms_norm(const float* x, const float* weight, float eps, uint32_t n, float* y);
void rope(float* x, const float* cos, const float* sin, uint32_t half);
void round_bf16(const float* x, size_t n, uint16_t* out);
void swiglu(const float* gate, const float* up, size_t n, float* out);
void add(const float* a, const float* b, size_t n, float* out);
void layer_norm(const float* x, const float* weight, const float* bias, float eps, uint32_t n, float* y);
void gelu_tanh(const float* x, size_t n, float* out);
void gelu_erf(const float* x, size_t n, float* out);
void mul_rows(const float* a, const float* b, size_t n, float* out);
void scale_rows(const float* x, size_t n, float factor, float* out);
void add_scaled(const float* x, size_t n, float factor, float* out);
void soft_cap(const float* x, size_t n, float cap, float* out);
float max(const float* x, size_t n);
float exp_sum(const float* x, size_t n, float shift);
void exp(const float* x, size_t n, float* y);

void gemm(const tessera_gemm_args* args);
void gemm_pack(const tessera_gemm_args* args, uint32_t column_begin, uint32_t column_end, float* packed);
tessera_softmax_sums softmax(const float* x, float scale, size_t n, float* out);
void softmax_backward(const float* p, const float* dp, float scale, size_t n, float* dx);
float rms_norm_backward(const float* x, const float* weight, const float* dy, float eps, uint32_t n, float* dx);
void rms_norm_weight_backward(const float* x, const float* dy, size_t ld, const float* r, uint32_t rows, uint32_t n,
                              float* dweight);
void swiglu_backward(const float* gate, const float* up, const float* dout, size_t n, float* dgate, float* dup);
float sum_of_squares(const float* x, size_t n);
void adamw(const tessera_adamw_args* args, const float* gradient, size_t n, float* weight, float* m, float* v);

}  // namespace tessera::reference
