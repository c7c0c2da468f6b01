#include "runtime/device/read_speed.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <sys/resource.h>

#include "runtime/device/aligned_buffer.hpp"

namespace tessera {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{64} << 20;
constexpr int runs = 6;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

double thread_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Four independent sums, so that the additions are not what is measured.
std::uint64_t sum(const std::uint64_t* values, std::size_t count) {
  std::uint64_t sums[4] = {};
  for (std::size_t i = 0; i + 4 <= count; i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += values[i + lane];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

double measure_read_speed(std::uint32_t threads) {
  AlignedBuffer<std::uint64_t> buffer(buffer_bytes / sizeof(std::uint64_t));
  std::fill_n(buffer.data(), buffer_bytes / sizeof(std::uint64_t), std::uint64_t{1});
  double best = 0;
  volatile std::uint64_t sink = 0;
  for (int run = 0; run < runs; ++run) {
    const double begin = thread_seconds();
    sink = sink + sum(buffer.data(), buffer_bytes / sizeof(std::uint64_t));
    const double seconds = thread_seconds() - begin;
    if (seconds > 0) best = std::max(best, static_cast<double>(buffer_bytes) / seconds);
  }
  return best * std::min(static_cast<double>(threads), shared_read_factor);
}

double rounded_speed(double bytes_per_second) {
  if (!(bytes_per_second > 0)) return 1;
  return std::exp2(std::round(std::log2(bytes_per_second) * 2) / 2);
}

}  // namespace tessera
