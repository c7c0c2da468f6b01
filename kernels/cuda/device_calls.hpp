// The calls of tessera_device_table that are no kernels: memory, queues, recorded work. device.cpp makes them of the
// CUDA runtime, shim_device.cpp of the host.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/abi/device_abi.h"

namespace tessera::cuda {

/// "cuda" or "cuda-shim".
extern const char* const module_name;

std::int32_t probe(tessera_device_probe_result* result);
std::int32_t describe(std::uint32_t device, tessera_device_info* info);
std::int32_t open(std::uint32_t device, tessera_device_queue** queue);
void close(tessera_device_queue* queue);
std::int32_t allocate(tessera_device_queue* queue, std::size_t bytes, void** memory);
std::int32_t release(tessera_device_queue* queue, void* memory);
std::int32_t write(tessera_device_queue* queue, void* to, const void* from, std::size_t bytes);
std::int32_t read(tessera_device_queue* queue, void* to, const void* from, std::size_t bytes);
std::int32_t fill(tessera_device_queue* queue, void* to, std::uint8_t byte, std::size_t bytes);
std::int32_t wait(tessera_device_queue* queue);
std::int32_t record_begin(tessera_device_queue* queue);
std::int32_t record_end(tessera_device_queue* queue, tessera_device_graph** graph);
std::int32_t replay(tessera_device_queue* queue, tessera_device_graph* graph);
void graph_release(tessera_device_queue* queue, tessera_device_graph* graph);

}  // namespace tessera::cuda
