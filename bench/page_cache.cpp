#include "bench/page_cache.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace tessera::bench {

void drop_from_page_cache(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  // Only what is clean can be dropped.
  if (::fsync(file) == 0) static_cast<void>(::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED));
  ::close(file);
}

}  // namespace tessera::bench
