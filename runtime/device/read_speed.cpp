#include "runtime/device/read_speed.hpp"

#include <algorithm>
#include <cstddef>
#include <time.h>

#include "runtime/device/aligned_buffer.hpp"

namespace tessera {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{64} << 20;
/// Read one after the other, so that each comes from memory again.
constexpr std::size_t sample_bytes = std::size_t{8} << 20;
constexpr int rounds = 6;

/// Four independent sums, so that the additions are not what is measured.
std::uint64_t sum(const std::uint64_t* values, std::size_t count) {
  std::uint64_t sums[4] = {};
  for (std::size_t i = 0; i + 4 <= count; i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += values[i + lane];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

double thread_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double measure_read_speed(std::uint32_t threads) {
  constexpr std::size_t count = buffer_bytes / sizeof(std::uint64_t), sample = sample_bytes / sizeof(std::uint64_t);
  AlignedBuffer<std::uint64_t> buffer(count);
  std::fill_n(buffer.data(), count, std::uint64_t{1});
  double best = 0;
  volatile std::uint64_t sink = 0;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t begin = 0; begin + sample <= count; begin += sample) {
      const double start = thread_cpu_seconds();
      sink = sink + sum(buffer.data() + begin, sample);
      const double took = thread_cpu_seconds() - start;
      if (took > 0) best = std::max(best, static_cast<double>(sample_bytes) / took);
    }
  }
  return best * std::min(static_cast<double>(threads), shared_read_factor);
}

}  // namespace tessera
