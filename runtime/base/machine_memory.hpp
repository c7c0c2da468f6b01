// How much memory this process may still take.
#pragma once

#include <cstdint>

namespace tessera {

/// Bytes that can be had without swapping: what the system has free or could free, at most the limit of the container
/// (cgroup version 2 or 1), of which what runs beside this process is not subtracted. 0: not known. Any thread.
std::uint64_t available_memory();

}  // namespace tessera
