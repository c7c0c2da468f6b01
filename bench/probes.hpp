// Probes: what the machine itself reaches, measured beside every figure: the rooflines.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bench/huge_buffer.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/device/thread_pool.hpp"
#include "runtime/tensor/dtype.hpp"

namespace tessera::bench {

/// Memory far larger than the caches, in huge pages.
class ReadProbe {
 public:
  explicit ReadProbe(std::size_t bytes);
  /// GB/s of plain reads by all threads of the pool.
  double measure(Isa isa, ThreadPool& pool, const Clock& clock) const;

 private:
  HugeBuffer memory_;
};

/// GMAC/s of independent multiply-adds held in registers, all threads, by the instruction that weights of the dtype are
/// multiplied with: f32 FMA for f32; for bf16 vdpbf16ps, or FMA where weights must be widened; for q8 and q4 the int8
/// dot product (vpdpbusd, or vpmaddwd on AVX2).
double measure_peak(DType dtype, Isa isa, ThreadPool& pool, const Clock& clock);

}  // namespace tessera::bench
