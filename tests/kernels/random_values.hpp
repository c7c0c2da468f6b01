// Seeded random inputs for kernel tests. A failing case is repeated by its seed alone.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/rng.hpp"

namespace tessera::test {

/// What kind of floats a case feeds to a kernel.
enum class Values {
  plain,     ///< uniform in [-1, 1)
  spread,    ///< magnitudes from 2^-20 to 2^10
  extremes,  ///< signed zeros, denormals and numbers whose products underflow, among plain ones
};
inline constexpr Values all_values[] = {Values::plain, Values::spread, Values::extremes};

class Random {
 public:
  explicit Random(std::uint64_t seed) : key_(philox_key(seed)) {}

  std::uint32_t bits() {
    if (next_ == 4) {
      words_ = philox(key_, {counter_++, 0, 0, 0});
      next_ = 0;
    }
    return words_[next_++];
  }
  /// Uniform in low..high, both included.
  std::uint32_t between(std::uint32_t low, std::uint32_t high) {
    return low + static_cast<std::uint32_t>((std::uint64_t{bits()} * (std::uint64_t{high} - low + 1)) >> 32);
  }
  bool chance(std::uint32_t one_in) { return between(1, one_in) == 1; }
  template <typename T, std::size_t N>
  const T& pick(const T (&from)[N]) {
    return from[between(0, N - 1)];
  }

  float value(Values kind) {
    const float unit = static_cast<float>(static_cast<std::int32_t>(bits())) * 0x1p-31f;
    if (kind == Values::plain) return unit;
    const std::uint32_t sign = bits() & 0x80000000u;
    const std::uint32_t mantissa = bits() >> 9;
    if (kind == Values::spread) return std::bit_cast<float>(sign | (between(107, 137) << 23) | mantissa);
    switch (between(0, 5)) {
      case 0:
        return std::bit_cast<float>(sign);  // a zero
      case 1:
        return std::bit_cast<float>(sign | mantissa);  // a denormal
      case 2:
        return std::bit_cast<float>(sign | (between(1, 40) << 23) | mantissa);  // tiny
      case 3:
        return std::bit_cast<float>(sign | (between(50, 70) << 23) | mantissa);  // its square underflows
      default:
        return unit;
    }
  }
  void fill(std::span<float> out, Values kind) {
    for (float& x : out) x = value(kind);
  }

 private:
  PhiloxKey key_;
  std::uint32_t counter_ = 0;
  PhiloxCounter words_{};
  std::size_t next_ = 4;
};

}  // namespace tessera::test
