#include "app/process_memory.hpp"

#include <fstream>
#include <sstream>
#include <string>

namespace tessera::app {

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string name;
    std::uint64_t kibibytes = 0;
    fields >> name >> kibibytes;
    if (name == "RssAnon:") memory.anonymous_bytes = kibibytes << 10;
    if (name == "RssFile:") memory.file_backed_bytes = kibibytes << 10;
  }
  return memory;
}

}  // namespace tessera::app
