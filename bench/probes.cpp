#include "bench/probes.hpp"

#include <algorithm>
#include <atomic>
#include <immintrin.h>

#include "runtime/base/ensure.hpp"

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

// The accumulators of a probe are variables with names, and each is pinned to its register after every step: what the
// compiler makes of an array are moves and spills, and those would be measured.
#define TESSERA_ACCUMULATE(step) \
  step(s0) step(s1) step(s2) step(s3) step(s4) step(s5) step(s6) step(s7) step(s8) step(s9) step(s10) step(s11)
#define TESSERA_IN_REGISTER(value) __asm__ volatile("" : "+v"(value));
/// `count` rounds of `step(accumulator)`; the step uses `a` and `b`.
#define TESSERA_PROBE(name, isa, Register, a_value, b_value, step)                     \
  __attribute__((target(isa))) void name(std::uint64_t count) {                        \
    Register s0{}, s1{}, s2{}, s3{}, s4{}, s5{}, s6{}, s7{}, s8{}, s9{}, s10{}, s11{}; \
    const Register a = a_value, b = b_value;                                           \
    for (std::uint64_t i = 0; i < count; ++i) {                                        \
      TESSERA_ACCUMULATE(step)                                                         \
    }                                                                                  \
  }

#define TESSERA_STEP(sum)           \
  sum = _mm512_fmadd_ps(sum, a, b); \
  TESSERA_IN_REGISTER(sum)
TESSERA_PROBE(f32_avx512, "avx512f", __m512, _mm512_set1_ps(0.999f), _mm512_set1_ps(0.001f), TESSERA_STEP)
#undef TESSERA_STEP
#define TESSERA_STEP(sum)           \
  sum = _mm256_fmadd_ps(sum, a, b); \
  TESSERA_IN_REGISTER(sum)
TESSERA_PROBE(f32_avx2, "avx2,fma", __m256, _mm256_set1_ps(0.999f), _mm256_set1_ps(0.001f), TESSERA_STEP)
#undef TESSERA_STEP
#define TESSERA_STEP(sum)                                \
  sum = _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); \
  TESSERA_IN_REGISTER(sum)
TESSERA_PROBE(bf16_avx512, "avx512f,avx512bf16", __m512, _mm512_set1_ps(0.5f), _mm512_set1_ps(0.001f), TESSERA_STEP)
#undef TESSERA_STEP
#define TESSERA_STEP(sum)               \
  sum = _mm512_dpbusd_epi32(sum, a, b); \
  TESSERA_IN_REGISTER(sum)
TESSERA_PROBE(int8_avx512, "avx512f,avx512vnni", __m512i, _mm512_set1_epi8(3), _mm512_set1_epi8(1), TESSERA_STEP)
#undef TESSERA_STEP
#define TESSERA_STEP(sum)                      \
  {                                            \
    __m256i product = _mm256_madd_epi16(a, b); \
    TESSERA_IN_REGISTER(product)               \
    sum = _mm256_add_epi32(sum, product);      \
    TESSERA_IN_REGISTER(sum)                   \
  }
TESSERA_PROBE(int8_avx2, "avx2", __m256i, _mm256_set1_epi16(3), _mm256_set1_epi16(1), TESSERA_STEP)
#undef TESSERA_STEP

/// One instruction set's way to multiply weights of a dtype, and multiply-adds per accumulator and round.
struct Peak {
  void (*work)(std::uint64_t);
  double multiply_adds;
};

Peak peak_of(DType dtype, Isa isa) {
  switch (dtype) {
    case DType::bf16:
      if (isa == Isa::avx512bf16) return {bf16_avx512, 32};
      [[fallthrough]];
    case DType::f32:
      return isa >= Isa::avx512 ? Peak{f32_avx512, 16} : Peak{f32_avx2, 8};
    case DType::q8:
    case DType::q4:
      return isa >= Isa::avx512 ? Peak{int8_avx512, 64} : Peak{int8_avx2, 16};
  }
  TESSERA_ENSURE(false);
}

}  // namespace

ReadProbe::ReadProbe(std::size_t bytes) : memory_(bytes) {
  for (std::size_t i = 0; i < bytes; i += 4096) memory_[i] = static_cast<std::uint8_t>(i >> 12);
}

double ReadProbe::measure(Isa isa, ThreadPool& pool, const Clock& clock) const {
  constexpr std::size_t chunk = 4u << 20;
  const auto read = isa >= Isa::avx512 ? read_avx512 : read_avx2;
  const auto chunks = static_cast<std::uint32_t>(memory_.size() / chunk);
  const TimePoint start = clock.now();
  pool.run(chunks, [&](std::uint32_t index, std::uint32_t) {
    sink.fetch_add(read(memory_.data() + index * chunk, chunk), std::memory_order_relaxed);
  });
  return static_cast<double>(chunks) * chunk / seconds_between(start, clock.now()) / 1e9;
}

double measure_peak(DType dtype, Isa isa, ThreadPool& pool, const Clock& clock) {
  const Peak peak = peak_of(dtype, isa);
  const TimePoint start = clock.now();
  pool.run(pool.threads(), [&](std::uint32_t, std::uint32_t) { peak.work(rounds); });
  const double seconds = seconds_between(start, clock.now());
  return peak.multiply_adds * accumulators * static_cast<double>(rounds) * pool.threads() / seconds / 1e9;
}

}  // namespace tessera::bench
