#include "runtime/checkpoint/guarded_mapping.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

/// Mappings that can be guarded at once in a process; one more is an error. A checkpoint has one, and may have another
/// while a plan changes.
constexpr int guard_slots_max = 4096;

// One guarded mapping. The owner is the only writer of begin and size; the signal handler reads them on any thread.
//
// `version` is even while the slot is unstable or free and odd while it describes a live mapping. The handler reads it
// before and after the two addresses (a sequence lock), so it never acts on the addresses of a slot that changes hands.
// It need not retry: the mapping under the faulting address is alive (whoever reads a range keeps it alive), so its own
// slot is stable.
//
// A slot is freed before munmap. So the handler can never put zero pages over addresses that the kernel has already
// given to someone else; between the two calls nobody may read the range anyway.
struct GuardSlot {
  std::atomic<bool> taken{false};
  std::atomic<bool> failed{false};
  std::atomic<std::uint64_t> version{0};
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::size_t> size{0};
};

// A signal handler can reach nothing but static storage; this is why these are the only variables of the folder that
// outlive an object.
constinit std::array<GuardSlot, guard_slots_max> guard_slots;
constinit std::atomic<int> guard_slots_used{
    0};  // slots at and above were never taken: the handler need not look at them
constinit std::atomic<int> guard_slots_hint{0};  // where to look first for a free one; any value is right
constinit struct sigaction previous_action {};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uintptr_t>::is_always_lock_free &&
              std::atomic<std::size_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// Async-signal-safe. True when the address lies in a guarded mapping that now reads as zeros.
bool cover_with_zeros(std::uintptr_t address) {
  const int used = guard_slots_used.load(std::memory_order_acquire);
  for (int i = 0; i < used; ++i) {
    GuardSlot& slot = guard_slots[static_cast<std::size_t>(i)];
    const std::uint64_t before = slot.version.load(std::memory_order_acquire);
    if (before % 2 == 0) continue;
    const std::uintptr_t begin = slot.begin.load(std::memory_order_relaxed);
    const std::size_t size = slot.size.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (slot.version.load(std::memory_order_relaxed) != before) continue;
    if (address < begin || address - begin >= size) continue;
    // The mark comes first: a thread that reads zeros without a fault of its own must find it set.
    slot.failed.store(true);
    void* const zeros = ::mmap(reinterpret_cast<void*>(begin), size, PROT_READ,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    return zeros != MAP_FAILED;
  }
  return false;
}

// Hands a SIGBUS that is not ours to whoever was there before.
void chain(int signal, siginfo_t* info, void* context) {
  if (previous_action.sa_flags & SA_SIGINFO) {
    previous_action.sa_sigaction(signal, info, context);
    return;
  }
  const bool sent_by_a_process = info->si_code <= 0;
  if (previous_action.sa_handler == SIG_IGN && sent_by_a_process) return;
  if (previous_action.sa_handler != SIG_IGN && previous_action.sa_handler != SIG_DFL) {
    previous_action.sa_handler(signal);
    return;
  }
  // Default action: a fault happens again as soon as the handler returns, a signal that was sent must be sent again.
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(signal, &standard, nullptr);
  if (sent_by_a_process) ::raise(signal);
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  // A positive code comes from the kernel and carries the faulting address; a sent signal carries a process id in its
  // place.
  const bool covered = info->si_code > 0 && cover_with_zeros(reinterpret_cast<std::uintptr_t>(info->si_addr));
  errno = saved_errno;
  if (!covered) chain(signal, info, context);
}

// Once per process, with the first mapping; a static local is initialised by one thread while others wait.
bool guard_installed() {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigemptyset(&action.sa_mask);
    return ::sigaction(SIGBUS, nullptr, &previous_action) == 0 && ::sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  return installed;
}

// Describes a live mapping in a free slot; returns its index, or -1 when all are taken.
int take_slot(std::uintptr_t begin, std::size_t size) {
  const int start = guard_slots_hint.load();
  for (int tried = 0; tried < guard_slots_max; ++tried) {
    const int index = (start + tried) % guard_slots_max;
    GuardSlot& slot = guard_slots[static_cast<std::size_t>(index)];
    if (slot.taken.load(std::memory_order_relaxed) || slot.taken.exchange(true, std::memory_order_acquire)) continue;
    slot.failed.store(false);
    // Release, so that a handler that sees one of them also sees the even version that came before.
    slot.begin.store(begin, std::memory_order_release);
    slot.size.store(size, std::memory_order_release);
    slot.version.fetch_add(1, std::memory_order_release);  // odd: live
    int used = guard_slots_used.load();
    while (used < index + 1 && !guard_slots_used.compare_exchange_weak(used, index + 1)) {
    }
    guard_slots_hint.store((index + 1) % guard_slots_max);
    return index;
  }
  return -1;
}

void free_slot(int index) {
  GuardSlot& slot = guard_slots[static_cast<std::size_t>(index)];
  slot.version.fetch_add(1);  // even: free
  slot.taken.store(false, std::memory_order_release);
  if (index < guard_slots_hint.load()) guard_slots_hint.store(index);
}

/// Whole huge pages of a file can lie under huge pages of addresses only where both begin at the same distance from
/// one, and not every file system sees to that.
void* map_aligned(int file_descriptor, std::uint64_t offset, std::size_t size) {
  const auto map = [&](void* address, int flags) {
    return ::mmap(address, size, PROT_READ, MAP_SHARED | flags, file_descriptor, static_cast<off_t>(offset));
  };
  if (size < huge_page_bytes) return map(nullptr, 0);
  void* const room =
      ::mmap(nullptr, size + huge_page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return map(nullptr, 0);
  const auto begin = reinterpret_cast<std::uintptr_t>(room);
  const std::size_t lead = (offset - begin) % huge_page_bytes;
  const std::uintptr_t aligned = begin + lead, end = aligned + size;
  void* const mapping = map(reinterpret_cast<void*>(aligned), MAP_FIXED);
  if (mapping == MAP_FAILED) {
    const int reason = errno;
    ::munmap(room, size + huge_page_bytes);
    errno = reason;
    return MAP_FAILED;
  }
  if (lead > 0) ::munmap(room, lead);
  if (lead < huge_page_bytes) ::munmap(reinterpret_cast<void*>(end), huge_page_bytes - lead);
  return mapping;
}

}  // namespace

Result<std::shared_ptr<const GuardedMapping>> GuardedMapping::create(int file_descriptor, std::uint64_t offset,
                                                                     std::size_t size, const std::string& where) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  TESSERA_ENSURE(size > 0 && offset % page == 0);
  size = (size + page - 1) / page * page;
  if (!guard_installed()) return Error{ErrorCode::io, where + ": the guard against SIGBUS cannot be installed"};
  // Shared and read-only: the pages are the page cache's own, so every process that maps the file shares them and none
  // is private memory. No advice for the whole: WILLNEED would read slices ahead of their use, RANDOM would turn the
  // cold first pass into single-page reads.
  void* const data = map_aligned(file_descriptor, offset, size);
  if (data == MAP_FAILED) {
    return Error{
        errno == ENOMEM ? ErrorCode::exhausted : ErrorCode::io,
        where + ": " + std::to_string(size) + " bytes cannot be mapped: " + ::strerror(errno) +
            "; close other models, or raise the limits on address space and mappings (ulimit -v, vm.max_map_count)"};
  }
  const int slot = take_slot(reinterpret_cast<std::uintptr_t>(data), size);
  if (slot < 0) {
    ::munmap(data, size);
    return Error{ErrorCode::exhausted, where + ": more than " + std::to_string(guard_slots_max) +
                                           " files are mapped in this process; close other models first"};
  }
  return std::shared_ptr<const GuardedMapping>(new GuardedMapping(data, size, slot));
}

GuardedMapping::~GuardedMapping() {
  free_slot(slot_);
  TESSERA_ENSURE(::munmap(data_, size_) == 0);
}

bool GuardedMapping::failed() const { return guard_slots[static_cast<std::size_t>(slot_)].failed.load(); }

void GuardedMapping::prefer_huge_pages(std::size_t begin, std::size_t end) const {
  const auto base = reinterpret_cast<std::uintptr_t>(data_);
  const std::uintptr_t first = (base + begin + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
  const std::uintptr_t last = (base + end) / huge_page_bytes * huge_page_bytes;
  // Advice that the kernel may not know.
  if (first < last) static_cast<void>(::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE));
}

}  // namespace tessera
