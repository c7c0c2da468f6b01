// y = W x over q8 tiles: the bytes are multiplied as they lie.
#include "kernels/cpu/matmul_blocks.hpp"

namespace tessera::TESSERA_ISA {
namespace {

struct Q8 {
  static constexpr size_t kBlockBytes = kBytes;
  static constexpr size_t kBlockScaleBytes = kScaleBytes;
  static constexpr size_t kSourceBytes = kBlockBytes;
  static constexpr bool kPacked = false;
  TESSERA_INLINE static Lanes scale(const char* p) { return widen_f16(reinterpret_cast<const uint16_t*>(p)); }
  TESSERA_INLINE static constexpr int group(int step) { return step; }
  TESSERA_INLINE static Bytes weights(const char* block, int step) { return load_bytes(block + step * kStepBytes); }
};

}  // namespace

void matmul_q8(const tessera_matmul_q8_args* args) { multiply_unit<Q8>(*args); }

}  // namespace tessera::TESSERA_ISA
