#include "actors/load_sampler.hpp"

#include <algorithm>
#include <cstdio>
#include <sys/resource.h>
#include <unistd.h>

namespace tessera {

namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

double process_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::uint64_t resident_bytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long total = 0, resident = 0;
  const int fields = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return fields == 2 ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

LoadSampler::LoadSampler(const Clock& clock, std::uint32_t cores)
    : clock_(clock), cores_(std::max(1u, cores)), last_(clock.now()), last_cpu_seconds_(process_seconds()) {}

ProcessLoad LoadSampler::sample() {
  const TimePoint now = clock_.now();
  const double cpu = process_seconds(), elapsed = seconds_between(last_, now);
  ProcessLoad load;
  if (elapsed > 0) load.cpu_share = (cpu - last_cpu_seconds_) / elapsed / cores_;
  load.resident_bytes = resident_bytes();
  last_ = now;
  last_cpu_seconds_ = cpu;
  return load;
}

}  // namespace tessera
