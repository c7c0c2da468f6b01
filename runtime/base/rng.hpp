// Counter-based random numbers: a pure function of (key, counter), the same on every machine, in any order, on any
// thread.
//
//   PhiloxKey key = philox_key(seed);
//   double u = uniform_double(key, {position, choice, 0, 0});     // in [0, 1)
//
// Philox4x32-10 from J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <array>
#include <cstdint>

namespace tessera {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Ten rounds of Philox4x32.
PhiloxCounter philox(PhiloxKey key, PhiloxCounter counter);

/// The 64-bit seed as a key, low word first.
inline PhiloxKey philox_key(std::uint64_t seed) {
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
}

/// 53 uniform bits of the first two words, in [0, 1).
double uniform_double(PhiloxKey key, PhiloxCounter counter);

/// Where seeds come from when the user gives none. Passed in, so that tests and simulation own it.
class EntropySource {
 public:
  virtual ~EntropySource() = default;
  virtual std::uint64_t next_seed() = 0;
};

/// Seeds from the operating system. Any thread.
class SystemEntropy final : public EntropySource {
 public:
  std::uint64_t next_seed() override;
};

}  // namespace tessera
