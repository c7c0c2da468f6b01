// --numa, of the commands that compute.
#pragma once

#include <cstdint>
#include <optional>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tessera::app {

/// `numa` outlives the command's parsing; place_process() (runtime/device/topology.hpp) takes it.
CLI::Option* add_numa_option(CLI::App& command, std::optional<std::uint32_t>& numa);

}  // namespace tessera::app
