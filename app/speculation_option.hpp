// --speculation, of the commands that deploy a model.
#pragma once

#include <tessera/cluster.hpp>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tessera::app {

/// `speculation` outlives the command's parsing.
CLI::Option* add_speculation_option(CLI::App& command, client::Speculation& speculation);

}  // namespace tessera::app
