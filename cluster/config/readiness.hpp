// How a node tells the process that launched it that it is ready, or why it cannot start.
//
// The launcher hands the node an open pipe and its number in TESSERA_READY_FD; the node writes one line, "ready" or
// "failed MESSAGE", and closes it. Over ssh the pipe is stdout. A process that ends before it wrote a line has failed
// as well. Under systemd (NOTIFY_SOCKET) the same call says READY=1. Started by hand, nobody listens and nothing
// happens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

inline constexpr const char* ready_fd_variable = "TESSERA_READY_FD";
inline constexpr std::size_t readiness_line_bytes_max = 4096;

/// Node side: it serves now. Call one of the two, once; on the main thread.
void announce_ready();
/// Node side: it cannot start, and says why on the launcher's terminal. Line breaks become blanks.
void announce_failure(std::string_view message);

/// What a node has announced.
struct Readiness {
  bool ready = false;
  std::string failure;  ///< empty when ready
};
/// Launcher side: of the line without its end; corrupt if it is neither.
Result<Readiness> parse_readiness(std::string_view line);

}  // namespace tessera
