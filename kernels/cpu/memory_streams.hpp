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

/// What is prefetched while `bytes` from p on are read.
TESSERA_INLINE void prefetch_page(const char* p, size_t bytes) {
  for (size_t i = 0; i < bytes / kPageShare; ++i) prefetch_second(p + kPage + i * kLine);
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
