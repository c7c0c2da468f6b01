// FlushDenormals: the floating-point mode of every compute thread (docs/exactness.md, "Ground rules"), for the length
// of a scope.
#pragma once

#include <immintrin.h>

namespace tessera {

/// Round to nearest, flush-to-zero and denormals-as-zero on; the old mode comes back at the end of the scope. Confined
/// to its thread.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr((saved_ & ~rounding_bits) | flush_bits); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  static constexpr unsigned flush_bits = 0x8040;  // FTZ | DAZ
  static constexpr unsigned rounding_bits = 0x6000;
  unsigned saved_;
};

}  // namespace tessera
