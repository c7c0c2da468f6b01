// What this process occupies, as the kernel counts it.
#pragma once

#include <cstdint>

namespace tessera::app {

struct ProcessMemory {
  std::uint64_t anonymous_bytes = 0;    ///< resident private memory: heap, stacks, KV cache
  std::uint64_t file_backed_bytes = 0;  ///< resident pages of mapped files: weights, shared with other processes
};

/// From /proc/self/status (RssAnon, RssFile); zeros where it cannot be read.
ProcessMemory process_memory();

}  // namespace tessera::app
