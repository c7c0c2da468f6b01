#include "bench/probes.hpp"

#include <algorithm>
#include <atomic>
#include <immintrin.h>

namespace tessera::bench {

namespace {

/// Where probes leave a result, so that the compiler cannot drop the work.
std::atomic<std::uint32_t> sink{0};

/// Streams read side by side: one core gets more from memory with a few of them than with one.
constexpr std::size_t streams = 4;

__attribute__((target("avx512f"))) std::uint32_t read_avx512(const std::uint8_t* data, std::size_t bytes) {
  __m512i sums[streams] = {};
  for (std::size_t i = 0; i < bytes / streams; i += 64) {
    for (std::size_t j = 0; j < streams; ++j) {
      sums[j] = _mm512_xor_si512(sums[j], _mm512_load_si512(data + j * (bytes / streams) + i));
    }
  }
  __m512i all = sums[0];
  for (std::size_t j = 1; j < streams; ++j) all = _mm512_xor_si512(all, sums[j]);
  return static_cast<std::uint32_t>(_mm512_reduce_add_epi32(all));
}

__attribute__((target("avx2"))) std::uint32_t read_avx2(const std::uint8_t* data, std::size_t bytes) {
  __m256i sums[streams] = {};
  for (std::size_t i = 0; i < bytes / streams; i += 32) {
    for (std::size_t j = 0; j < streams; ++j) {
      const auto* const source = reinterpret_cast<const __m256i*>(data + j * (bytes / streams) + i);
      sums[j] = _mm256_xor_si256(sums[j], _mm256_load_si256(source));
    }
  }
  __m256i all = sums[0];
  for (std::size_t j = 1; j < streams; ++j) all = _mm256_xor_si256(all, sums[j]);
  return static_cast<std::uint32_t>(_mm256_extract_epi32(all, 0));
}

constexpr int accumulators = 12;
constexpr std::uint64_t rounds = 2'000'000;

__attribute__((target("avx512f"))) void f32_avx512(std::uint64_t count) {
  __m512 sums[accumulators];
  for (auto& sum : sums) sum = _mm512_set1_ps(1.0f);
  const __m512 factor = _mm512_set1_ps(0.999f), addend = _mm512_set1_ps(0.001f);
  for (std::uint64_t i = 0; i < count; ++i) {
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, factor, addend);
  }
  __m512 all = sums[0];
  for (const auto& sum : sums) all = _mm512_add_ps(all, sum);
  sink.fetch_add(static_cast<std::uint32_t>(_mm512_reduce_add_ps(all)), std::memory_order_relaxed);
}

__attribute__((target("avx2,fma"))) void f32_avx2(std::uint64_t count) {
  __m256 sums[accumulators];
  for (auto& sum : sums) sum = _mm256_set1_ps(1.0f);
  const __m256 factor = _mm256_set1_ps(0.999f), addend = _mm256_set1_ps(0.001f);
  for (std::uint64_t i = 0; i < count; ++i) {
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, factor, addend);
  }
  __m256 all = sums[0];
  for (const auto& sum : sums) all = _mm256_add_ps(all, sum);
  sink.fetch_add(static_cast<std::uint32_t>(_mm256_cvtss_f32(all)), std::memory_order_relaxed);
}

__attribute__((target("avx512f,avx512vnni"))) void int8_avx512(std::uint64_t count) {
  __m512i sums[accumulators];
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  const __m512i weights = _mm512_set1_epi8(3), values = _mm512_set1_epi8(1);
  for (std::uint64_t i = 0; i < count; ++i) {
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, weights, values);
  }
  __m512i all = sums[0];
  for (const auto& sum : sums) all = _mm512_xor_si512(all, sum);
  sink.fetch_add(static_cast<std::uint32_t>(_mm512_reduce_add_epi32(all)), std::memory_order_relaxed);
}

__attribute__((target("avx2"))) void int8_avx2(std::uint64_t count) {
  __m256i sums[accumulators];
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  __m256i weights = _mm256_set1_epi16(3);
  const __m256i values = _mm256_set1_epi16(1);
  for (std::uint64_t i = 0; i < count; ++i) {
    for (auto& sum : sums) sum = _mm256_add_epi32(sum, _mm256_madd_epi16(weights, values));
    weights = _mm256_xor_si256(weights, values);
  }
  __m256i all = sums[0];
  for (const auto& sum : sums) all = _mm256_xor_si256(all, sum);
  sink.fetch_add(static_cast<std::uint32_t>(_mm256_extract_epi32(all, 0)), std::memory_order_relaxed);
}

/// Runs `work(rounds)` on every thread; lanes multiply-adds per accumulator and round.
double measure_peak(void (*work)(std::uint64_t), double lanes, ThreadPool& pool, const Clock& clock) {
  const TimePoint start = clock.now();
  pool.run(pool.threads(), [&](std::uint32_t, std::uint32_t) { work(rounds); });
  const double seconds = seconds_between(start, clock.now());
  return lanes * accumulators * static_cast<double>(rounds) * pool.threads() / seconds / 1e9;
}

}  // namespace

ReadProbe::ReadProbe(std::size_t bytes) : memory_(bytes) {
  for (std::size_t i = 0; i < bytes; i += 4096) memory_[i] = static_cast<std::uint8_t>(i >> 12);
}

double ReadProbe::measure(Isa isa, ThreadPool& pool, const Clock& clock) const {
  constexpr std::size_t chunk = 4u << 20;
  const auto read = isa == Isa::avx512 ? read_avx512 : read_avx2;
  const auto chunks = static_cast<std::uint32_t>(memory_.size() / chunk);
  const TimePoint start = clock.now();
  pool.run(chunks, [&](std::uint32_t index, std::uint32_t) {
    sink.fetch_add(read(memory_.data() + index * chunk, chunk), std::memory_order_relaxed);
  });
  return static_cast<double>(chunks) * chunk / seconds_between(start, clock.now()) / 1e9;
}

double measure_f32_peak(Isa isa, ThreadPool& pool, const Clock& clock) {
  return isa == Isa::avx512 ? measure_peak(f32_avx512, 16, pool, clock) : measure_peak(f32_avx2, 8, pool, clock);
}

double measure_int8_peak(Isa isa, ThreadPool& pool, const Clock& clock) {
  return isa == Isa::avx512 ? measure_peak(int8_avx512, 64, pool, clock) : measure_peak(int8_avx2, 16, pool, clock);
}

}  // namespace tessera::bench
