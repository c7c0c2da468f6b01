#include "runtime/base/machine_memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace tessera {

namespace {

constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

/// The number that a file of one line holds; `otherwise` where it cannot be read ("max" is no number).
std::uint64_t number_in(const char* path, std::uint64_t otherwise) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : otherwise;
}

std::uint64_t system_available() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (std::uint64_t kib = 0; file >> key >> kib; std::getline(file, unit)) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return no_limit;
}

}  // namespace

std::uint64_t available_memory() {
  const std::uint64_t available = std::min({system_available(), number_in("/sys/fs/cgroup/memory.max", no_limit),
                                            number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", no_limit)});
  return available == no_limit ? 0 : available;
}

}  // namespace tessera
