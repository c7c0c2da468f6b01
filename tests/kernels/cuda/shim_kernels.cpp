// The kernels' own sources, by the host's compiler.
#include "kernels/cuda/attention.cu"
#include "kernels/cuda/matmul_blocks.cu"
#include "kernels/cuda/matmul_floats.cu"
#include "kernels/cuda/rows.cu"
#include "kernels/cuda/values.cu"
