#include "app/numa_option.hpp"

#include <CLI/CLI.hpp>

namespace tessera::app {

CLI::Option* add_numa_option(CLI::App& command, std::optional<std::uint32_t>& numa) {
  return command.add_option("--numa", numa, "Stay on this NUMA node, threads and memory (default: use all of them)");
}

}  // namespace tessera::app
