#include "kernels/cuda/shim/fibers.hpp"

#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <vector>
#include <xmmintrin.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TESSERA_SHIM_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TESSERA_SHIM_ASAN 1
#endif
#ifdef TESSERA_SHIM_ASAN
#include <sanitizer/asan_interface.h>
#endif

// Saves what a call preserves on the stack, and goes on with another stack. swapcontext would ask the system to save
// the signal mask twice for every barrier of every thread.
extern "C" void tessera_shim_switch(void** save, void* load);
asm(R"(
.text
.globl tessera_shim_switch
.hidden tessera_shim_switch
.type tessera_shim_switch,@function
tessera_shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tessera_shim_switch,.-tessera_shim_switch
)");

namespace tessera::cuda::shim {

Place place;

namespace {

constexpr std::size_t stack_bytes = 96u << 10, guard_bytes = 4096, threads_max = 1024, shared_bytes_max = 228u << 10;
constexpr unsigned warp_lanes = 32;
constexpr int poison = 0xff;  // of every byte: a NaN

enum class Wait : std::uint8_t { none, barrier, exchange, ended };

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};

struct Fiber {
  void* stack_pointer = nullptr;
  void* sanitizer_state = nullptr;
  Wait wait = Wait::none;
  int where = 0;
  unsigned mask = 0;
  unsigned exchanges = 0;
  std::vector<Copy> copies;             // of groups under way, oldest first
  std::vector<std::size_t> group_ends;  // into copies
};

/// Values that the lanes of one warp give each other; two sets, as a lane may be one exchange ahead.
struct Warp {
  std::uint64_t values[2][warp_lanes];
};

struct Machine {
  std::vector<Fiber> fibers = std::vector<Fiber>(threads_max);
  std::vector<Warp> warps = std::vector<Warp>(threads_max / warp_lanes);
  char* stacks = nullptr;
  unsigned current = 0;
  void* scheduler = nullptr;
  void* scheduler_state = nullptr;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_stack_bytes = 0;
  Call call = nullptr;
  const void* context = nullptr;
  std::uint64_t blocks_run = 0, launches = 0;
  alignas(64) char shared[shared_bytes_max];
  std::size_t shared_used = 0;
  char fault[256] = {};
};

/// One for the process, made at the first launch and kept: a launch allocates nothing.
Machine& machine() {
  static Machine* const only = [] {
    auto* made = new Machine;
    const std::size_t bytes = threads_max * (stack_bytes + guard_bytes);
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return made;
    made->stacks = static_cast<char*>(memory);
    for (std::size_t i = 0; i < threads_max; ++i)
      ::mprotect(made->stacks + i * (stack_bytes + guard_bytes), guard_bytes, PROT_NONE);
    return made;
  }();
  return *only;
}

char* stack_of(Machine& m, std::size_t thread) { return m.stacks + thread * (stack_bytes + guard_bytes) + guard_bytes; }

void to_scheduler(Machine& m, [[maybe_unused]] bool for_ever) {
  Fiber& fiber = m.fibers[m.current];
#ifdef TESSERA_SHIM_ASAN
  __sanitizer_start_switch_fiber(for_ever ? nullptr : &fiber.sanitizer_state, m.scheduler_stack,
                                 m.scheduler_stack_bytes);
#endif
  tessera_shim_switch(&fiber.stack_pointer, m.scheduler);
#ifdef TESSERA_SHIM_ASAN
  __sanitizer_finish_switch_fiber(fiber.sanitizer_state, &m.scheduler_stack, &m.scheduler_stack_bytes);
#endif
}

void to_fiber(Machine& m, unsigned thread) {
  m.current = thread;
  const Index& size = place.block_size;
  place.thread = {thread % size.x, thread / size.x % size.y, thread / (size.x * size.y)};
#ifdef TESSERA_SHIM_ASAN
  __sanitizer_start_switch_fiber(&m.scheduler_state, stack_of(m, thread), stack_bytes);
#endif
  tessera_shim_switch(&m.scheduler, m.fibers[thread].stack_pointer);
#ifdef TESSERA_SHIM_ASAN
  __sanitizer_finish_switch_fiber(m.scheduler_state, nullptr, nullptr);
#endif
}

/// Where every fiber begins. It never returns.
void fiber_main() {
  Machine& m = machine();
#ifdef TESSERA_SHIM_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &m.scheduler_stack, &m.scheduler_stack_bytes);
#endif
  m.call(m.context);
  m.fibers[m.current].wait = Wait::ended;
  to_scheduler(m, true);
  __builtin_trap();
}

void prepare_fiber(Machine& m, unsigned thread) {
  Fiber& fiber = m.fibers[thread];
  fiber.wait = Wait::none;
  fiber.exchanges = 0;
  fiber.copies.clear();
  fiber.group_ends.clear();
  fiber.sanitizer_state = nullptr;
  // Six registers, the address to "return" to, and a place where its caller would have been: the stack is then aligned
  // as it is at the beginning of a function.
  auto** top = reinterpret_cast<void**>(stack_of(m, thread) + stack_bytes) - 8;
  std::memset(top, 0, 8 * sizeof(void*));
  top[6] = reinterpret_cast<void*>(&fiber_main);
  fiber.stack_pointer = top;
}

const char* name_of(Wait wait) {
  return wait == Wait::barrier ? "a barrier" : wait == Wait::exchange ? "an exchange of its warp" : "its end";
}

/// Lets the lanes of a warp go on where all that their exchange names are there. False: a fault.
bool release_exchange(Machine& m, unsigned begin, unsigned end, bool& progress) {
  for (unsigned i = begin; i < end; ++i) {
    Fiber& first = m.fibers[i];
    if (first.wait != Wait::exchange) continue;
    bool complete = true;
    for (unsigned lane = 0; lane < warp_lanes; ++lane) {
      if ((first.mask >> lane & 1u) == 0) continue;
      if (begin + lane >= end) {
        std::snprintf(m.fault, sizeof m.fault, "thread %u waits at line %d for lane %u, which the block does not have",
                      i, first.where, lane);
        return false;
      }
      const Fiber& other = m.fibers[begin + lane];
      if (other.wait == Wait::exchange && other.where == first.where && other.mask == first.mask) continue;
      if (other.wait == Wait::none) {
        complete = false;
        continue;
      }
      std::snprintf(m.fault, sizeof m.fault,
                    "divergent exchange: thread %u waits at line %d for thread %u, which is at %s (line %d)", i,
                    first.where, begin + lane, name_of(other.wait), other.where);
      return false;
    }
    if (!complete) continue;
    for (unsigned lane = 0; lane < warp_lanes; ++lane)
      if ((first.mask >> lane & 1u) != 0) m.fibers[begin + lane].wait = Wait::none;
    progress = true;
    return true;
  }
  return true;
}

/// Runs a warp until each of its threads waits at a barrier or has ended.
bool run_warp(Machine& m, unsigned begin, unsigned end, bool backwards) {
  for (bool progress = true; progress;) {
    progress = false;
    for (unsigned i = begin; i < end; ++i) {
      const unsigned thread = backwards ? end - 1 - (i - begin) : i;
      if (m.fibers[thread].wait != Wait::none) continue;
      to_fiber(m, thread);
      progress = true;
    }
    if (!release_exchange(m, begin, end, progress)) return false;
  }
  return true;
}

bool run_block(Machine& m, unsigned threads, bool backwards) {
  ++m.blocks_run;
  for (unsigned i = 0; i < threads; ++i) prepare_fiber(m, i);
  const unsigned warps = (threads + warp_lanes - 1) / warp_lanes;
  while (true) {
    for (unsigned i = 0; i < warps; ++i) {
      const unsigned begin = (backwards ? warps - 1 - i : i) * warp_lanes;
      if (!run_warp(m, begin, begin + warp_lanes < threads ? begin + warp_lanes : threads, backwards)) return false;
    }
    unsigned ended = 0;
    for (unsigned i = 0; i < threads; ++i) ended += m.fibers[i].wait == Wait::ended ? 1 : 0;
    if (ended == threads) return true;
    for (unsigned i = 1; i < threads; ++i) {
      const Fiber &a = m.fibers[0], &b = m.fibers[i];
      if (a.wait == b.wait && a.where == b.where) continue;
      std::snprintf(m.fault, sizeof m.fault,
                    "mismatched barrier: thread 0 is at %s (line %d), thread %u at %s (line %d)", name_of(a.wait),
                    a.where, i, name_of(b.wait), b.where);
      return false;
    }
    for (unsigned i = 0; i < threads; ++i) m.fibers[i].wait = Wait::none;
  }
}

}  // namespace

namespace {

/// Denormals are flushed, as -ftz=true makes the GPU do.
class FlushedDenormals {
 public:
  FlushedDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
  ~FlushedDenormals() { _mm_setcsr(saved_); }
  FlushedDenormals(const FlushedDenormals&) = delete;
  FlushedDenormals& operator=(const FlushedDenormals&) = delete;

 private:
  const unsigned saved_;
};

}  // namespace

const char* run_blocks(const char* kernel, Index grid, Index block, std::size_t dynamic_bytes, Call call,
                       const void* context) {
  const FlushedDenormals mode;
  Machine& m = machine();
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  if (m.stacks == nullptr) return "no memory for the stacks of the fibers";
  if (threads < 1 || threads > threads_max || blocks < 1 || dynamic_bytes > shared_bytes_max || grid.y > 65535 ||
      grid.z > 65535) {
    std::snprintf(m.fault, sizeof m.fault, "%s: a launch of %llu blocks of %llu threads with %zu bytes", kernel,
                  static_cast<unsigned long long>(blocks), static_cast<unsigned long long>(threads), dynamic_bytes);
    return m.fault;
  }
  m.call = call;
  m.context = context;
  const bool backwards = m.launches++ % 2 == 1;
  place.block_size = block;
  place.grid_size = grid;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t index = backwards ? blocks - 1 - i : i;
    place.block = {static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
                   static_cast<unsigned>(index / grid.x / grid.y)};
    m.shared_used = (dynamic_bytes + 63) / 64 * 64;
    std::memset(m.shared, poison, m.shared_used);
    if (run_block(m, static_cast<unsigned>(threads), backwards)) continue;
    char fault[sizeof m.fault];
    std::memcpy(fault, m.fault, sizeof fault);
#ifdef TESSERA_SHIM_ASAN
    // The threads never leave their functions, whose frames would stay marked.
    for (unsigned thread = 0; thread < threads; ++thread)
      __asan_unpoison_memory_region(stack_of(m, thread), stack_bytes);
#endif
    std::snprintf(m.fault, sizeof m.fault, "%s: block (%u, %u, %u): %.180s", kernel, place.block.x, place.block.y,
                  place.block.z, fault);
    return m.fault;
  }
  return nullptr;
}

void block_barrier(int where) {
  Machine& m = machine();
  m.fibers[m.current].wait = Wait::barrier;
  m.fibers[m.current].where = where;
  to_scheduler(m, false);
}

const std::uint64_t* warp_exchange(unsigned mask, std::uint64_t value, int where) {
  Machine& m = machine();
  Fiber& fiber = m.fibers[m.current];
  std::uint64_t* const values = m.warps[m.current / warp_lanes].values[fiber.exchanges++ % 2];
  values[m.current % warp_lanes] = value;
  fiber.wait = Wait::exchange;
  fiber.where = where;
  fiber.mask = mask;
  to_scheduler(m, false);
  return values;
}

void* shared_memory(SharedSlot& slot, std::size_t bytes) {
  Machine& m = machine();
  if (slot.owner != m.blocks_run) {
    if (m.shared_used + bytes > shared_bytes_max) {
      std::fprintf(stderr, "shim: a block uses more than %zu bytes of shared memory\n", shared_bytes_max);
      __builtin_trap();
    }
    slot = {m.blocks_run, m.shared + m.shared_used};
    std::memset(slot.memory, poison, bytes);
    m.shared_used += (bytes + 63) / 64 * 64;
  }
  return slot.memory;
}

void* dynamic_memory() { return machine().shared; }

void copy_async(void* to, const void* from, std::size_t bytes) {
  Machine& m = machine();
  m.fibers[m.current].copies.push_back({to, from, bytes});
}

void commit_copies() {
  Machine& m = machine();
  Fiber& fiber = m.fibers[m.current];
  fiber.group_ends.push_back(fiber.copies.size());
}

void wait_copies(unsigned pending) {
  Machine& m = machine();
  Fiber& fiber = m.fibers[m.current];
  if (fiber.group_ends.size() <= pending) return;
  const std::size_t groups = fiber.group_ends.size() - pending, end = fiber.group_ends[groups - 1];
  for (std::size_t i = 0; i < end; ++i) std::memcpy(fiber.copies[i].to, fiber.copies[i].from, fiber.copies[i].bytes);
  fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + static_cast<std::ptrdiff_t>(end));
  fiber.group_ends.erase(fiber.group_ends.begin(), fiber.group_ends.begin() + static_cast<std::ptrdiff_t>(groups));
  for (std::size_t& group_end : fiber.group_ends) group_end -= end;
}

}  // namespace tessera::cuda::shim
