// How weights come from memory when each is used once: by passes over few tokens.
//
// One stream that is prefetched line by line is as fast as memory on the processors that the avx512 module was tuned
// on. On those with AVX512_BF16 (measured: Zen 4) it is half as fast: prefetches into the nearest cache use up the few
// misses that one core may have open there. There several runs of tiles are read side by side, which the hardware
// prefetchers of the second cache follow; these stop at the end of each page, so that a few lines of the next one are
// prefetched, into that cache (docs/performance.md).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/vec.hpp"

#if defined(__AVX512BF16__)
#define TESSERA_READS_RUNS 1
#endif

namespace tessera::TESSERA_ISA {
namespace {

constexpr size_t kLine = 64;        // bytes of a cache line
constexpr size_t kPage = 4096;      // bytes that hardware prefetchers stay within
constexpr size_t kPageShare = 256;  // bytes that are read for each line of the next page that is prefetched

/// Into the second cache.
TESSERA_INLINE void prefetch_second(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }

/// A page ahead of what is read. Behind the end of the first of the runs side by side, each goes on where the caller's
/// next ones begin, as far from each other as these.
struct PageAhead {
  const char* end;  // of the first run
  ptrdiff_t jump;   // from there to what is read next

  /// `next` is null when nobody knows it: then it is what lies behind the end.
  static PageAhead of(const char* first, size_t run_bytes, const void* next) {
    const char* const end = first + run_bytes;
    return {end, next == nullptr ? 0 : static_cast<const char*>(next) - end};
  }
  /// p in the first run; to be added to p in each of them.
  TESSERA_INLINE ptrdiff_t distance(const char* p) const {
    return static_cast<ptrdiff_t>(kPage) + (p + kPage >= end ? jump : 0);
  }
};

/// What is prefetched while `bytes` are read.
TESSERA_INLINE void prefetch_share(const char* ahead, size_t bytes) {
  for (size_t i = 0; i < bytes / kPageShare; ++i) prefetch_second(ahead + i * kLine);
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
