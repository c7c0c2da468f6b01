// Probes: what the machine itself reaches, measured beside every figure: the rooflines.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/base/clock.hpp"
#include "runtime/device/aligned_buffer.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/device/thread_pool.hpp"

namespace tessera::bench {

/// Memory far larger than the caches.
class ReadProbe {
 public:
  explicit ReadProbe(std::size_t bytes);
  /// GB/s of plain reads by all threads of the pool.
  double measure(Isa isa, ThreadPool& pool, const Clock& clock) const;

 private:
  AlignedBuffer<std::uint8_t> memory_;
};

/// GMAC/s of independent multiply-adds held in registers, all threads: f32 FMA, and the int8 dot product of the
/// instruction set (vpdpbusd, or vpmaddwd on AVX2).
double measure_f32_peak(Isa isa, ThreadPool& pool, const Clock& clock);
double measure_int8_peak(Isa isa, ThreadPool& pool, const Clock& clock);

}  // namespace tessera::bench
