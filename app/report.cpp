#include "app/report.hpp"

#include <cstdio>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"

namespace tessera::app {

int fail(const Error& error) {
  std::fprintf(stderr, "tessera: %s\n", error.message.c_str());
  switch (error.code) {
    case ErrorCode::invalid_argument:
      return exit_usage;
    case ErrorCode::corrupt:
    case ErrorCode::unsupported:
    case ErrorCode::not_found:
      return exit_bad_input;
    case ErrorCode::cancelled:
      return exit_interrupted;
    case ErrorCode::io:
    case ErrorCode::exhausted:
    case ErrorCode::unavailable:
    case ErrorCode::timed_out:
    case ErrorCode::denied:
    case ErrorCode::conflict:
      return exit_failure;
  }
  return exit_failure;
}

int fail_closed_stdout() { return fail(Error{ErrorCode::io, "standard output was closed"}); }

bool print_text(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

bool print_json(const nlohmann::json& json) {
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

std::string human_bytes(double bytes) {
  const char* unit = "B";
  for (const char* next : {"kB", "MB", "GB", "TB"}) {
    if (bytes < 1000) break;
    bytes /= 1000;
    unit = next;
  }
  char text[32];
  std::snprintf(text, sizeof text, bytes < 10 && unit[0] != 'B' ? "%.2f %s" : "%.0f %s", bytes, unit);
  return text;
}

}  // namespace tessera::app
