// LoadSampler: what the operating system knows of this process, for the monitor.
#pragma once

#include <cstdint>

#include "runtime/base/clock.hpp"

namespace tessera {

struct ProcessLoad {
  double cpu_share = 0;  ///< of `cores`, since the last sample; 0 to about 1
  std::uint64_t resident_bytes = 0;
};

/// Confined to the monitor's actor. Reading takes some microseconds.
class LoadSampler {
 public:
  LoadSampler(const Clock& clock, std::uint32_t cores);
  ProcessLoad sample();

 private:
  const Clock& clock_;
  double cores_;
  TimePoint last_;
  double last_cpu_seconds_;
};

}  // namespace tessera
