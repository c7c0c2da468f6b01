// The page cache, as far as measurements depend on it.
#pragma once

#include <string>

namespace tessera::bench {

/// Drops a file from the page cache, so that it is read from the disk next, into huge pages if its reader asks for
/// them: what was written or read before lies there in small ones. Does nothing where the file cannot be opened.
void drop_from_page_cache(const std::string& path);

}  // namespace tessera::bench
