// Runs a kernel's thread blocks on the host, one fiber for each CUDA thread, so that the kernels' own source is tested
// on machines without a GPU.
//
//   const char* fault = run_blocks("name", grid, block, dynamic_bytes, call, context);
//
// A fiber runs until it waits: at a block barrier or at an exchange between the lanes of its warp. Whoever cannot go on
// together is a fault, and is named: threads of a block at different barriers, lanes of a warp at different exchanges,
// threads that have ended while others wait for them. Shared memory is filled with NaN before every block, copies that
// are asynchronous happen when they are waited for, and every other launch runs threads and blocks backwards: what
// reads too early reads nonsense. Real races, and the ordering of memory, only a GPU shows.
//
// One launch at a time in a process, on one thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::cuda::shim {

struct Index {
  unsigned x = 1, y = 1, z = 1;
};

/// What the running fiber is; the shim's threadIdx and so on.
struct Place {
  Index thread, block, block_size, grid_size;
};
extern Place place;

using Call = void (*)(const void* context);

/// Calls call(context) on every thread of every block. Null, or what went wrong, valid until the next call.
const char* run_blocks(const char* kernel, Index grid, Index block, std::size_t dynamic_bytes, Call call,
                       const void* context);

// For the running fiber.

/// Waits until every thread of the block is at this barrier. `where`: a line of source, the same for all of them.
void block_barrier(int where);
/// Gives `value` to the lanes of the warp and returns those of all of them, valid until the next but one exchange.
/// Lanes that `mask` does not name may be elsewhere.
const std::uint64_t* warp_exchange(unsigned mask, std::uint64_t value, int where);

/// Memory of the block, the same for all its threads: `bytes` at the first call of a block for this slot.
struct SharedSlot {
  std::uint64_t owner = 0;
  void* memory = nullptr;
};
void* shared_memory(SharedSlot& slot, std::size_t bytes);
void* dynamic_memory();

/// As cp.async: the copy happens when the fiber waits for the group that it belongs to.
void copy_async(void* to, const void* from, std::size_t bytes);
void commit_copies();
/// Until at most `pending` groups of this thread are under way.
void wait_copies(unsigned pending);

}  // namespace tessera::cuda::shim
