/* The kernel modules that are linked into the binary. Which of them may run on this machine is decided in
 * runtime/device. */
#ifndef TESSERA_KERNEL_TABLES_H
#define TESSERA_KERNEL_TABLES_H

#include "kernels/abi/kernel_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Scalar oracle; runs on any x86-64. */
const tessera_op_table* tessera_scalar_table(void);
/** Needs AVX2, FMA, F16C. */
const tessera_op_table* tessera_avx2_table(void);
/** Needs AVX-512 F, BW, DQ, VL and VNNI. */
const tessera_op_table* tessera_avx512_table(void);
/** Needs AVX-512 BF16 as well. */
const tessera_op_table* tessera_avx512bf16_table(void);

#ifdef __cplusplus
}
#endif

#endif /* TESSERA_KERNEL_TABLES_H */
