// Devices, memory, queues and recorded work of the CUDA runtime, which is linked statically: the module loads on
// machines without a driver, and says so.
#include <cstdio>
#include <cstring>
#include <cuda_runtime_api.h>
#include <new>

#include "kernels/cuda/device_calls.hpp"
#include "kernels/cuda/queue.hpp"

struct tessera_device_graph {
  cudaGraphExec_t executable = nullptr;
};

namespace tessera::cuda {

const char* const module_name = "cuda";

namespace {

cudaStream_t stream_of(tessera_device_queue* queue) { return static_cast<cudaStream_t>(queue->stream); }

/// Errors after which every call of the process fails.
bool is_sticky(int code) {
  switch (code) {
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorContextIsDestroyed:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::int32_t cuda_status(tessera_device_queue* queue, const char* what, int code) {
  if (code == cudaSuccess) return TESSERA_DEVICE_OK;
  const auto error = static_cast<cudaError_t>(code);
  if (is_sticky(code)) {
    queue->lost = true;
    return fail(queue, TESSERA_DEVICE_LOST,
                "%s: GPU %u is lost to this process (%s: %s); start the node again, and look at nvidia-smi and dmesg",
                what, queue->device, cudaGetErrorName(error), cudaGetErrorString(error));
  }
  cudaGetLastError();  // it is told here, not by the next call
  if (code == cudaErrorMemoryAllocation)
    return fail(queue, TESSERA_DEVICE_OUT_OF_MEMORY, "%s: GPU %u is out of memory", what, queue->device);
  return fail(queue, TESSERA_DEVICE_FAILED, "%s: GPU %u: %s: %s", what, queue->device, cudaGetErrorName(error),
              cudaGetErrorString(error));
}

namespace {

/// Of a call on the queue's device: refused while work is recorded, failed once the device is lost.
std::int32_t begin_call(tessera_device_queue* queue, const char* what, bool while_recording) {
  if (queue->lost) return fail(queue, TESSERA_DEVICE_LOST, "%s: GPU %u was lost before", what, queue->device);
  if (queue->recording != nullptr && !while_recording)
    return fail(queue, TESSERA_DEVICE_REFUSED, "%s: work is being recorded", what);
  return cuda_status(queue, what, cudaSetDevice(static_cast<int>(queue->device)));
}

bool is_no_device(cudaError_t code) {
  return code == cudaErrorInsufficientDriver || code == cudaErrorStubLibrary || code == cudaErrorNoDevice;
}

/// Oldest devices that the module's machine code is for.
constexpr int capability_major_min = 8;

}  // namespace

std::int32_t probe(tessera_device_probe_result* result) {
  std::memset(result, 0, sizeof *result);
  int driver = 0, runtime = 0, count = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess) result->driver_version = static_cast<std::uint32_t>(driver);
  if (cudaRuntimeGetVersion(&runtime) == cudaSuccess) result->runtime_version = static_cast<std::uint32_t>(runtime);
  const cudaError_t code = cudaGetDeviceCount(&count);
  result->runtime_code = code;
  if (code != cudaSuccess) {
    cudaGetLastError();
    if (driver == 0) {
      std::snprintf(result->reason, sizeof result->reason, "no NVIDIA driver is installed");
    } else {
      std::snprintf(result->reason, sizeof result->reason, "%s (CUDA error %d)", cudaGetErrorString(code), code);
    }
    return is_no_device(code) ? TESSERA_DEVICE_NONE : TESSERA_DEVICE_FAILED;
  }
  // Devices are named by their number among all: the first one that is too old ends the list.
  for (int device = 0; device < count; ++device) {
    int major = 0;
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
        major < capability_major_min) {
      std::snprintf(result->reason, sizeof result->reason, "GPU %d has compute capability %d.x; %d.0 is needed", device,
                    major, capability_major_min);
      break;
    }
    ++result->devices;
  }
  if (count == 0) std::snprintf(result->reason, sizeof result->reason, "the driver has no GPU");
  return result->devices != 0 ? TESSERA_DEVICE_OK : TESSERA_DEVICE_NONE;
}

std::int32_t describe(std::uint32_t device, tessera_device_info* info) {
  std::memset(info, 0, sizeof *info);
  cudaDeviceProp properties;
  const int number = static_cast<int>(device);
  if (cudaGetDeviceProperties(&properties, number) != cudaSuccess) {
    cudaGetLastError();
    return TESSERA_DEVICE_FAILED;
  }
  std::snprintf(info->name, sizeof info->name, "%.127s", properties.name);
  cudaDeviceGetPCIBusId(info->bus_id, sizeof info->bus_id, number);
  info->capability_major = static_cast<std::uint32_t>(properties.major);
  info->capability_minor = static_cast<std::uint32_t>(properties.minor);
  info->multiprocessors = static_cast<std::uint32_t>(properties.multiProcessorCount);
  info->memory_bytes = properties.totalGlobalMem;
  info->l2_bytes = static_cast<std::uint64_t>(properties.l2CacheSize);
  info->shared_bytes_max = static_cast<std::uint32_t>(properties.sharedMemPerBlockOptin);
  std::size_t free = 0, total = 0;
  if (cudaSetDevice(number) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) {
    cudaGetLastError();
    return TESSERA_DEVICE_FAILED;
  }
  info->memory_bytes_free = free;
  return TESSERA_DEVICE_OK;
}

std::int32_t open(std::uint32_t device, tessera_device_queue** opened) {
  auto* const queue = new (std::nothrow) tessera_device_queue;
  *opened = queue;
  if (queue == nullptr) return TESSERA_DEVICE_FAILED;
  queue->device = device;
  cudaStream_t stream = nullptr;
  std::int32_t status = cuda_status(queue, "open", cudaSetDevice(static_cast<int>(device)));
  if (status == TESSERA_DEVICE_OK)
    status = cuda_status(queue, "open", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  queue->stream = stream;
  return status;
}

void close(tessera_device_queue* queue) {
  if (queue == nullptr) return;
  if (queue->stream != nullptr && !queue->lost) {
    cudaStreamSynchronize(stream_of(queue));
    cudaStreamDestroy(stream_of(queue));
    cudaGetLastError();
  }
  delete queue->recording;
  delete queue;
}

std::int32_t allocate(tessera_device_queue* queue, std::size_t bytes, void** memory) {
  *memory = nullptr;
  if (const std::int32_t status = begin_call(queue, "allocate", false); status != TESSERA_DEVICE_OK) return status;
  const cudaError_t code = cudaMalloc(memory, bytes != 0 ? bytes : 1);
  if (code != cudaErrorMemoryAllocation) return cuda_status(queue, "allocate", code);
  cudaGetLastError();
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return fail(queue, TESSERA_DEVICE_OUT_OF_MEMORY,
              "allocate: GPU %u has %zu of %zu bytes free, %zu are needed; serve the model from more workers, or with "
              "smaller weights or fewer KV pages",
              queue->device, free, total, bytes);
}

std::int32_t release(tessera_device_queue* queue, void* memory) {
  if (const std::int32_t status = begin_call(queue, "release", false); status != TESSERA_DEVICE_OK) return status;
  return cuda_status(queue, "release", cudaFree(memory));
}

std::int32_t write(tessera_device_queue* queue, void* to, const void* from, std::size_t bytes) {
  if (const std::int32_t status = begin_call(queue, "write", false); status != TESSERA_DEVICE_OK) return status;
  return cuda_status(queue, "write", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(queue)));
}

std::int32_t read(tessera_device_queue* queue, void* to, const void* from, std::size_t bytes) {
  std::int32_t status = begin_call(queue, "read", false);
  if (status == TESSERA_DEVICE_OK)
    status = cuda_status(queue, "read", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(queue)));
  return status == TESSERA_DEVICE_OK ? cuda_status(queue, "read", cudaStreamSynchronize(stream_of(queue))) : status;
}

std::int32_t fill(tessera_device_queue* queue, void* to, std::uint8_t byte, std::size_t bytes) {
  if (const std::int32_t status = begin_call(queue, "fill", true); status != TESSERA_DEVICE_OK) return status;
  return cuda_status(queue, "fill", cudaMemsetAsync(to, byte, bytes, stream_of(queue)));
}

std::int32_t wait(tessera_device_queue* queue) {
  if (const std::int32_t status = begin_call(queue, "wait", false); status != TESSERA_DEVICE_OK) return status;
  return cuda_status(queue, "wait", cudaStreamSynchronize(stream_of(queue)));
}

std::int32_t record_begin(tessera_device_queue* queue) {
  std::int32_t status = begin_call(queue, "record_begin", false);
  if (status != TESSERA_DEVICE_OK) return status;
  queue->recording = new (std::nothrow) tessera_device_graph;
  if (queue->recording == nullptr) return fail(queue, TESSERA_DEVICE_FAILED, "record_begin: no memory");
  status =
      cuda_status(queue, "record_begin", cudaStreamBeginCapture(stream_of(queue), cudaStreamCaptureModeThreadLocal));
  if (status != TESSERA_DEVICE_OK) {
    delete queue->recording;
    queue->recording = nullptr;
  }
  return status;
}

std::int32_t record_end(tessera_device_queue* queue, tessera_device_graph** graph) {
  *graph = nullptr;
  tessera_device_graph* const recorded = queue->recording;
  if (recorded == nullptr) return fail(queue, TESSERA_DEVICE_REFUSED, "record_end: nothing is being recorded");
  queue->recording = nullptr;
  cudaGraph_t captured = nullptr;
  std::int32_t status = cuda_status(queue, "record_end", cudaStreamEndCapture(stream_of(queue), &captured));
  if (status == TESSERA_DEVICE_OK)
    status = cuda_status(queue, "record_end", cudaGraphInstantiate(&recorded->executable, captured, 0));
  if (captured != nullptr) cudaGraphDestroy(captured);
  if (status != TESSERA_DEVICE_OK) {
    delete recorded;
    return status;
  }
  *graph = recorded;
  return TESSERA_DEVICE_OK;
}

std::int32_t replay(tessera_device_queue* queue, tessera_device_graph* graph) {
  if (const std::int32_t status = begin_call(queue, "replay", false); status != TESSERA_DEVICE_OK) return status;
  return cuda_status(queue, "replay", cudaGraphLaunch(graph->executable, stream_of(queue)));
}

void graph_release(tessera_device_queue* queue, tessera_device_graph* graph) {
  if (graph == nullptr) return;
  if (!queue->lost) cudaGraphExecDestroy(graph->executable);
  delete graph;
}

}  // namespace tessera::cuda
