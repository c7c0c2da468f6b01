#include "runtime/base/rng.hpp"

#include <sys/random.h>

#include "runtime/base/ensure.hpp"

namespace tessera {

PhiloxCounter philox(PhiloxKey key, PhiloxCounter counter) {
  constexpr std::uint64_t multiplier_0 = 0xD2511F53, multiplier_1 = 0xCD9E8D57;
  constexpr std::uint32_t weyl_0 = 0x9E3779B9, weyl_1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = multiplier_0 * counter[0];
    const std::uint64_t product_1 = multiplier_1 * counter[2];
    counter = {static_cast<std::uint32_t>(product_1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product_1),
               static_cast<std::uint32_t>(product_0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product_0)};
    key[0] += weyl_0;
    key[1] += weyl_1;
  }
  return counter;
}

double uniform_double(PhiloxKey key, PhiloxCounter counter) {
  const PhiloxCounter words = philox(key, counter);
  const std::uint64_t bits = (std::uint64_t{words[0]} << 32 | words[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

std::uint64_t SystemEntropy::next_seed() {
  std::uint64_t seed = 0;
  TESSERA_ENSURE(::getrandom(&seed, sizeof seed, 0) == sizeof seed);
  return seed;
}

}  // namespace tessera
