// How many files and sockets this process may have open at once.
#pragma once

#include <cstdint>

namespace tessera {

/// Beyond it nobody is served any better, and tables grow.
inline constexpr std::uint64_t open_files_wanted = 65'536;

/// Raises the limit of this process as far as the system lets it, up to open_files_wanted. Called by main: the usual
/// soft limit (1024) is less than a gateway with all its connections takes.
void raise_open_files_limit();
/// The limit in force. Any thread.
std::uint64_t open_files_max();

}  // namespace tessera
