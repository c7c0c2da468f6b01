// tessera_device_queue, and how its calls end: a status, and a sentence that last_error() gives.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>

#include "kernels/abi/device_abi.h"

/// A CUDA stream of one device; in the host shim nothing but the sentence.
struct tessera_device_queue {
  std::uint32_t device = 0;
  void* stream = nullptr;                     ///< cudaStream_t
  tessera_device_graph* recording = nullptr;  ///< what launches are recorded into
  bool lost = false;
  char error[320] = {};
};

namespace tessera::cuda {

/// Keeps the sentence and returns the status. Any thread that may use the queue.
[[gnu::format(printf, 3, 4)]] inline std::int32_t fail(tessera_device_queue* queue, std::int32_t status,
                                                       const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(queue->error, sizeof queue->error, format, arguments);
  va_end(arguments);
  return status;
}

}  // namespace tessera::cuda

/// In a launcher: refuses arguments that break the contract of kernels/abi/device_abi.h. `op` is its name.
#define TESSERA_DEVICE_REQUIRE(queue, op, condition, ...)                                               \
  do {                                                                                                  \
    if (!(condition)) return ::tessera::cuda::fail(queue, TESSERA_DEVICE_REFUSED, op ": " __VA_ARGS__); \
  } while (false)
