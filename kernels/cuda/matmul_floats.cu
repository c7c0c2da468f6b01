// f32 and bf16 matrices: kernels of matmul.cuh.
#include "kernels/cuda/matmul.cuh"

namespace tessera::cuda {

std::int32_t launch_matmul_f32(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries) {
  return launch_matmul_of<FormatF32>(queue, args, nodes, entries);
}

std::int32_t launch_matmul_bf16(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries) {
  return launch_matmul_of<FormatBf16>(queue, args, nodes, entries);
}

}  // namespace tessera::cuda
