// The host as a device: its memory ends where an allocation ends, so that a kernel that reads on crashes.
#include <cstdio>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include "kernels/cuda/device_calls.hpp"
#include "kernels/cuda/queue.hpp"
#include "kernels/cuda/shim/recording.hpp"

struct tessera_device_graph {
  std::vector<std::function<std::int32_t()>> work;
};

namespace tessera::cuda {

const char* const module_name = "cuda-shim";

namespace {

constexpr std::size_t page = 4096;

/// Mappings by the address that was given out.
struct Mapping {
  void* memory;
  std::size_t bytes;
};
std::map<void*, Mapping>& mappings() {
  static std::map<void*, Mapping> all;
  return all;
}

std::int32_t refuse_while_recording(tessera_device_queue* queue, const char* what) {
  if (queue->recording == nullptr) return TESSERA_DEVICE_OK;
  return fail(queue, TESSERA_DEVICE_REFUSED, "%s: work is being recorded", what);
}

}  // namespace

std::int32_t shim::run_or_record(tessera_device_queue* queue, std::function<std::int32_t()> work) {
  if (queue->recording == nullptr) return work();
  queue->recording->work.push_back(std::move(work));
  return TESSERA_DEVICE_OK;
}

std::int32_t probe(tessera_device_probe_result* result) {
  std::memset(result, 0, sizeof *result);
  result->devices = 1;
  return TESSERA_DEVICE_OK;
}

std::int32_t describe(std::uint32_t device, tessera_device_info* info) {
  std::memset(info, 0, sizeof *info);
  std::snprintf(info->name, sizeof info->name, "host shim");
  info->multiprocessors = 1;
  return device == 0 ? TESSERA_DEVICE_OK : TESSERA_DEVICE_FAILED;
}

std::int32_t open(std::uint32_t device, tessera_device_queue** queue) {
  *queue = new tessera_device_queue;
  (*queue)->device = device;
  return device == 0 ? std::int32_t{TESSERA_DEVICE_OK}
                     : fail(*queue, TESSERA_DEVICE_FAILED, "open: there is no device %u", device);
}

void close(tessera_device_queue* queue) {
  delete queue->recording;
  delete queue;
}

std::int32_t allocate(tessera_device_queue* queue, std::size_t bytes, void** memory) {
  *memory = nullptr;
  if (const std::int32_t status = refuse_while_recording(queue, "allocate"); status != TESSERA_DEVICE_OK) return status;
  // The end, to the alignment, lies before a page that nobody may touch.
  const std::size_t kept = (bytes + TESSERA_DEVICE_ALIGNMENT - 1) / TESSERA_DEVICE_ALIGNMENT * TESSERA_DEVICE_ALIGNMENT;
  const std::size_t usable = (kept + page - 1) / page * page;
  void* const mapped = ::mmap(nullptr, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return fail(queue, TESSERA_DEVICE_OUT_OF_MEMORY, "allocate: %zu bytes", bytes);
  char* const end = static_cast<char*>(mapped) + usable;
  ::mprotect(end, page, PROT_NONE);
  *memory = end - kept;
  mappings()[*memory] = {mapped, usable + page};
  std::memset(*memory, 0xff, kept);
  return TESSERA_DEVICE_OK;
}

std::int32_t release(tessera_device_queue* queue, void* memory) {
  if (const std::int32_t status = refuse_while_recording(queue, "release"); status != TESSERA_DEVICE_OK) return status;
  const auto found = mappings().find(memory);
  if (found == mappings().end()) return fail(queue, TESSERA_DEVICE_FAILED, "release: no such memory");
  ::munmap(found->second.memory, found->second.bytes);
  mappings().erase(found);
  return TESSERA_DEVICE_OK;
}

std::int32_t write(tessera_device_queue* queue, void* to, const void* from, std::size_t bytes) {
  if (const std::int32_t status = refuse_while_recording(queue, "write"); status != TESSERA_DEVICE_OK) return status;
  if (bytes != 0) std::memcpy(to, from, bytes);
  return TESSERA_DEVICE_OK;
}

std::int32_t read(tessera_device_queue* queue, void* to, const void* from, std::size_t bytes) {
  if (const std::int32_t status = refuse_while_recording(queue, "read"); status != TESSERA_DEVICE_OK) return status;
  if (bytes != 0) std::memcpy(to, from, bytes);
  return TESSERA_DEVICE_OK;
}

std::int32_t fill(tessera_device_queue* queue, void* to, std::uint8_t byte, std::size_t bytes) {
  return shim::run_or_record(queue, [=] {
    std::memset(to, byte, bytes);
    return std::int32_t{TESSERA_DEVICE_OK};
  });
}

std::int32_t wait(tessera_device_queue* queue) { return refuse_while_recording(queue, "wait"); }

std::int32_t record_begin(tessera_device_queue* queue) {
  if (const std::int32_t status = refuse_while_recording(queue, "record_begin"); status != TESSERA_DEVICE_OK)
    return status;
  queue->recording = new tessera_device_graph;
  return TESSERA_DEVICE_OK;
}

std::int32_t record_end(tessera_device_queue* queue, tessera_device_graph** graph) {
  *graph = std::exchange(queue->recording, nullptr);
  if (*graph != nullptr) return TESSERA_DEVICE_OK;
  return fail(queue, TESSERA_DEVICE_REFUSED, "record_end: nothing is being recorded");
}

std::int32_t replay(tessera_device_queue* queue, tessera_device_graph* graph) {
  if (const std::int32_t status = refuse_while_recording(queue, "replay"); status != TESSERA_DEVICE_OK) return status;
  for (const auto& work : graph->work)
    if (const std::int32_t status = work(); status != TESSERA_DEVICE_OK) return status;
  return TESSERA_DEVICE_OK;
}

void graph_release(tessera_device_queue*, tessera_device_graph* graph) { delete graph; }

}  // namespace tessera::cuda
