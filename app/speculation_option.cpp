#include "app/speculation_option.hpp"

#include <string>

#include <CLI/CLI.hpp>

namespace tessera::app {

CLI::Option* add_speculation_option(CLI::App& command, client::Speculation& speculation) {
  const auto take = [&speculation](const std::string& text) {
    speculation = text == "off" ? client::Speculation::off : client::Speculation::automatic;
  };
  return command
      .add_option_function<std::string>(
          "--speculation", take,
          "Compute guessed tokens ahead: auto (where it is measured to be faster) or off; the result has the same bits")
      ->check(CLI::IsMember({"auto", "off"}))
      ->default_str("auto");
}

}  // namespace tessera::app
