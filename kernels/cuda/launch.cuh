// What kernels and launchers need of the CUDA language, from nvcc or from the host shim (shim/cuda_names.hpp): the same
// source is compiled by both.
//
//   struct AddArgs { … };                                        // by value: recorded graphs keep them
//   __global__ void __launch_bounds__(256) add(const __grid_constant__ AddArgs args) { … }
//   return launch(queue, "add", add, {.grid = {blocks}, .threads = 256}, args);
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/queue.hpp"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#define TESSERA_SHARED(type, name, count) __shared__ alignas(16) type name[count]
#define TESSERA_DYNAMIC_SHARED(name) extern __shared__ __align__(16) char name[]
#define TESSERA_UNROLL _Pragma("unroll")
#define TESSERA_UNROLL_BY(times) TESSERA_PRAGMA(unroll times)
#define TESSERA_PRAGMA(text) _Pragma(#text)
#else
#include "kernels/cuda/shim/cuda_names.hpp"
#include "kernels/cuda/shim/recording.hpp"
#define TESSERA_UNROLL
#define TESSERA_UNROLL_BY(times)
#endif

namespace tessera::cuda {

constexpr unsigned all_lanes = 0xffffffffu;
/// Dynamic shared memory that every kernel gets without asking: 48 KiB with the static one, of which ours have up
/// to 17.
constexpr std::size_t shared_bytes_usual = 31u << 10;

struct LaunchShape {
  struct {
    std::uint32_t x = 1, y = 1, z = 1;
  } grid;
  std::uint32_t threads = 1;
  std::size_t shared_bytes = 0;  ///< dynamic
};

#ifdef __CUDACC__
/// Of a CUDA call: its status, with a sentence in the queue. device.cpp.
std::int32_t cuda_status(tessera_device_queue* queue, const char* what, int code);

template <typename Args>
std::int32_t launch(tessera_device_queue* queue, const char* name, void (*kernel)(Args), const LaunchShape& shape,
                    const Args& args) {
  if (queue->lost) return fail(queue, TESSERA_DEVICE_LOST, "%s: the device was lost before", name);
  if (shape.shared_bytes > shared_bytes_usual) {
    const cudaError_t raised =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
    if (raised != cudaSuccess) return cuda_status(queue, name, raised);
  }
  kernel<<<dim3(shape.grid.x, shape.grid.y, shape.grid.z), shape.threads, shape.shared_bytes,
           static_cast<cudaStream_t>(queue->stream)>>>(args);
  return cuda_status(queue, name, cudaGetLastError());
}
#else
template <typename Args>
std::int32_t launch(tessera_device_queue* queue, const char* name, void (*kernel)(Args), const LaunchShape& shape,
                    const Args& args) {
  return shim::run_or_record(queue, [queue, name, kernel, shape, args] {
    struct Launched {
      void (*kernel)(Args);
      const Args* args;
    };
    const Launched launched{kernel, &args};
    const char* const fault = shim::run_blocks(
        name, {shape.grid.x, shape.grid.y, shape.grid.z}, {shape.threads, 1, 1}, shape.shared_bytes,
        [](const void* context) {
          const auto* const call = static_cast<const Launched*>(context);
          call->kernel(*call->args);
        },
        &launched);
    return fault == nullptr ? std::int32_t{TESSERA_DEVICE_OK} : fail(queue, TESSERA_DEVICE_FAILED, "%s", fault);
  });
}
#endif

// Copies from device to shared memory that go on while the thread computes (cp.async, sm_80). 16 bytes pass the nearest
// cache by: weights are read once. Both addresses are aligned to the size.

__device__ __forceinline__ void copy_async_16(void* to, const void* from) {
#ifdef __CUDACC__
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(from) : "memory");
#else
  shim::copy_async(to, from, 16);
#endif
}

__device__ __forceinline__ void copy_async_4(void* to, const void* from) {
#ifdef __CUDACC__
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared), "l"(from) : "memory");
#else
  shim::copy_async(to, from, 4);
#endif
}

__device__ __forceinline__ void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  shim::commit_copies();
#endif
}

/// Until at most `Pending` groups of this thread are under way; the others' copies are seen after a barrier.
template <int Pending>
__device__ __forceinline__ void wait_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#else
  shim::wait_copies(Pending);
#endif
}

inline std::uint32_t divide_up(std::uint64_t a, std::uint64_t b) { return static_cast<std::uint32_t>((a + b - 1) / b); }

inline bool aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % TESSERA_DEVICE_ALIGNMENT == 0;
}

}  // namespace tessera::cuda
