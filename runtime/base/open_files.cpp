#include "runtime/base/open_files.hpp"

#include <algorithm>
#include <sys/resource.h>

namespace tessera {

void raise_open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= open_files_wanted) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, open_files_wanted);
  // Refused: it stays as it is, and whoever needs more says so.
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
}

std::uint64_t open_files_max() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : open_files_wanted;
}

}  // namespace tessera
