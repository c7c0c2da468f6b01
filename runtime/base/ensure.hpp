// ensure(): states what must be true if the program has no bug. On in every build, also release.
//
// A violated ensure() prints the condition and ends the process: going on with a broken invariant could serve wrong
// bits. Never use it for something that input, the network or the disk can cause; that is a Result.
#pragma once

namespace tessera {

[[noreturn]] void ensure_failed(const char* condition, const char* file, int line);

}  // namespace tessera

#define TESSERA_ENSURE(condition)                               \
  do {                                                          \
    if (!(condition)) [[unlikely]]                              \
      ::tessera::ensure_failed(#condition, __FILE__, __LINE__); \
  } while (false)
