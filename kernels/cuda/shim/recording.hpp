// Recorded work of the host shim: what a CUDA graph is on a device.
#pragma once

#include <cstdint>
#include <functional>

struct tessera_device_queue;

namespace tessera::cuda::shim {

/// Runs the work now, or appends it to the graph that the queue records. Returns its status.
std::int32_t run_or_record(tessera_device_queue* queue, std::function<std::int32_t()> work);

}  // namespace tessera::cuda::shim
