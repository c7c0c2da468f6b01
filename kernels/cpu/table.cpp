#include "kernels/abi/kernel_tables.h"
#include "kernels/cpu/ops.hpp"

#if defined(__AVX512BF16__)
#define TESSERA_TABLE tessera_avx512bf16_table
#define TESSERA_TABLE_NAME "avx512bf16"
#define TESSERA_BF16_FORM TESSERA_BF16_PACKED
#elif defined(__AVX512F__)
#define TESSERA_TABLE tessera_avx512_table
#define TESSERA_TABLE_NAME "avx512"
#define TESSERA_BF16_FORM TESSERA_BF16_WIDENED
#else
#define TESSERA_TABLE tessera_avx2_table
#define TESSERA_TABLE_NAME "avx2"
#define TESSERA_BF16_FORM TESSERA_BF16_WIDENED
#endif

// Filled before the program starts, so that asking for the table runs no instruction of this set: the caller may do so
// on any machine, and decides afterwards whether the functions can be used.
const tessera_op_table* TESSERA_TABLE(void) {
  namespace ops = tessera::TESSERA_ISA;
  static constexpr tessera_training_ops kTraining = {
      .gemm = ops::gemm,
      .gemm_pack = ops::gemm_pack,
      .softmax = ops::softmax,
      .softmax_backward = ops::softmax_backward,
      .rms_norm_backward = ops::rms_norm_backward,
      .rms_norm_weight_backward = ops::rms_norm_weight_backward,
      .swiglu_backward = ops::swiglu_backward,
      .sum_of_squares = ops::sum_of_squares,
      .adamw = ops::adamw,
  };
  static constexpr tessera_op_table kTable = {
      .abi_version = TESSERA_KERNEL_ABI_VERSION,
      .name = TESSERA_TABLE_NAME,
      .bf16_form = TESSERA_BF16_FORM,
      .matmul_f32 = ops::matmul_f32,
      .matmul_bf16 = ops::matmul_bf16,
      .matmul_q8 = ops::matmul_q8,
      .matmul_q4 = ops::matmul_q4,
      .bf16_rows = ops::bf16_rows,
      .quantize_rows = ops::quantize_rows,
      .unpack_row_f32 = ops::unpack_row_f32,
      .unpack_row_bf16 = ops::unpack_row_bf16,
      .unpack_row_q8 = ops::unpack_row_q8,
      .unpack_row_q4 = ops::unpack_row_q4,
      .rms_norm = ops::rms_norm,
      .rope = ops::rope,
      .round_bf16 = ops::round_bf16,
      .attention = ops::attention,
      .swiglu = ops::swiglu,
      .add = ops::add_rows,
      .layer_norm = ops::layer_norm,
      .gelu_tanh = ops::gelu_tanh,
      .gelu_erf = ops::gelu_erf,
      .mul = ops::mul_rows,
      .scale = ops::scale_rows,
      .add_scaled = ops::add_scaled,
      .soft_cap = ops::soft_cap,
      .max = ops::max_of,
      .exp_sum = ops::exp_sum,
      .exp = ops::exp_rows,
      .training = &kTraining,
  };
  return &kTable;
}
