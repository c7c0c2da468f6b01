// The process's log: spdlog to stderr, so that stdout carries results only.
#pragma once

#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

/// Sets up the default logger: pattern with milliseconds, level by name (trace, debug, info, warning, error, off).
/// Called once by main before any other thread exists.
Result<void> configure_log(std::string_view level);

void log_debug(std::string_view message);
void log_info(std::string_view message);
void log_warning(std::string_view message);
void log_error(std::string_view message);

}  // namespace tessera
