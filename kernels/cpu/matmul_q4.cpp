// y = W x over q4 tiles: a vector of nibbles holds the weights of two steps.
#include "kernels/cpu/matmul_blocks.hpp"

namespace tessera::TESSERA_ISA {
namespace {

struct Q4 {
  static constexpr size_t kBlockBytes = kBytes / 2;
  static constexpr size_t kBlockScaleBytes = kScaleBytes;
  static constexpr size_t kSourceBytes = kBlockBytes;
  static constexpr bool kPacked = true;
  TESSERA_INLINE static Lanes scale(const char* p) {
    return mul(widen_f16(reinterpret_cast<const uint16_t*>(p)), broadcast(0.0625f));
  }
  // Both halves of a vector one after the other: columns 0..3, 16..19, 4..7, 20..23, …
  TESSERA_INLINE static constexpr int group(int step) { return step / 2 + step % 2 * 4; }
  TESSERA_INLINE static Bytes weights(const char* block, int step) {
    const Bytes both = load_bytes(block + step / 2 * kStepBytes);
    return step % 2 == 0 ? low_nibbles(both) : high_nibbles(both);
  }
};

}  // namespace

void matmul_q4(const tessera_matmul_q8_args* args) { multiply_unit<Q4>(*args); }

}  // namespace tessera::TESSERA_ISA
