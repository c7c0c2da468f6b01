#include "runtime/base/ensure.hpp"

#include <cstdio>
#include <cstdlib>

namespace tessera {

void ensure_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "tessera: bug: %s:%d: must hold: %s\n", file, line, condition);
  std::abort();
}

}  // namespace tessera
