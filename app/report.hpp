// What commands print besides their result: errors, and JSON numbers that round-trip.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"

namespace tessera::app {

/// "tessera: MESSAGE" on stderr; returns the exit code for the kind of error.
int fail(const Error& error);

/// The error of a command whose output nobody takes; returns its exit code.
int fail_closed_stdout();

/// Text on stdout, at once. False when stdout cannot take it.
bool print_text(const std::string& text);

/// One line on stdout. False when stdout cannot take it.
bool print_json(const nlohmann::json& json);

/// "1.17 GB"
std::string human_bytes(double bytes);

}  // namespace tessera::app
