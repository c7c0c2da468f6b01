#include "runtime/checkpoint/mapped_range.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

/// Mappings that can be guarded at once in a process; one more is an error. A model has about 10 per layer; the
/// kernel's own limit on mappings (vm.max_map_count) is 65530 by default.
constexpr int guard_slots_max = 32768;

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

}  // namespace

MappedRange::MappedRange(MappedRange&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mapping_size_(std::exchange(other.mapping_size_, 0)),
      guard_slot_(std::exchange(other.guard_slot_, -1)) {}

MappedRange& MappedRange::operator=(MappedRange&& other) noexcept {
  if (this != &other) {
    MappedRange old(std::move(*this));
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    mapping_ = std::exchange(other.mapping_, nullptr);
    mapping_size_ = std::exchange(other.mapping_size_, 0);
    guard_slot_ = std::exchange(other.guard_slot_, -1);
  }
  return *this;
}

MappedRange::~MappedRange() {
  if (mapping_ == nullptr) return;
  free_slot(guard_slot_);
  TESSERA_ENSURE(::munmap(mapping_, mapping_size_) == 0);
}

Result<MappedRange> MappedRange::map_file(int file_descriptor, std::uint64_t offset, std::size_t length,
                                          const std::string& where) {
  struct stat status {};
  if (::fstat(file_descriptor, &status) != 0) {
    return Error{ErrorCode::io, where + ": cannot be examined: " + ::strerror(errno)};
  }
  const auto file_size = static_cast<std::uint64_t>(status.st_size);
  if (offset > file_size || length > file_size - offset) {
    return Error{ErrorCode::corrupt, where + ": bytes " + std::to_string(offset) + " to " +
                                         std::to_string(offset + length) + " cannot be mapped, the file has only " +
                                         std::to_string(file_size) + "; it was truncated: restore it from a copy"};
  }
  if (length == 0) return MappedRange{};
  if (!guard_installed()) return Error{ErrorCode::io, where + ": the guard against SIGBUS cannot be installed"};

  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t lead = offset % page;
  const std::size_t mapping_size = (lead + length + page - 1) / page * page;
  // Shared and read-only: the pages are the page cache's own, so every process that maps the file shares them and none
  // is private memory. No madvise: WILLNEED would read slices ahead of their use, RANDOM would turn the cold first pass
  // into single-page reads.
  void* const mapping =
      ::mmap(nullptr, mapping_size, PROT_READ, MAP_SHARED, file_descriptor, static_cast<off_t>(offset - lead));
  if (mapping == MAP_FAILED) {
    return Error{
        errno == ENOMEM ? ErrorCode::exhausted : ErrorCode::io,
        where + ": " + std::to_string(length) + " bytes cannot be mapped: " + ::strerror(errno) +
            "; close other models, or raise the limits on address space and mappings (ulimit -v, vm.max_map_count)"};
  }
  const int slot = take_slot(reinterpret_cast<std::uintptr_t>(mapping), mapping_size);
  if (slot < 0) {
    ::munmap(mapping, mapping_size);
    return Error{ErrorCode::exhausted, where + ": more than " + std::to_string(guard_slots_max) +
                                           " ranges are mapped in this process; close other models first"};
  }
  MappedRange range;
  range.data_ = static_cast<const std::byte*>(mapping) + lead;
  range.size_ = length;
  range.mapping_ = mapping;
  range.mapping_size_ = mapping_size;
  range.guard_slot_ = slot;
  return range;
}

bool MappedRange::failed() const {
  return guard_slot_ >= 0 && guard_slots[static_cast<std::size_t>(guard_slot_)].failed.load();
}

}  // namespace tessera
