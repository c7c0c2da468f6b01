// write_all(): a whole text into a file, a pipe or a terminal.
#pragma once

#include <string_view>

namespace tessera {

/// 0, or errno. Goes on after signals; some of the text may have been written before a failure. Any thread.
int write_all(int file, std::string_view text);

}  // namespace tessera
