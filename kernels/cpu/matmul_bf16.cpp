// y = W x over bf16 tiles: two columns of K a step, the odd one first, as vdpbf16ps does. Modules without that
// instruction widen the weights and make the two multiply-adds that it stands for.
#include "kernels/cpu/matmul_columns.hpp"

namespace tessera::TESSERA_ISA {
namespace {

struct Bf16 {
  using Weights = Bf16Weights;
  using Value = Bf16Pair;
  // A step waits for two multiply-adds of each accumulator: one tile alone would be slower than memory.
  static constexpr int kFewTiles = 2;
  TESSERA_INLINE static Weights load(const char* p) { return load_bf16_weights(p); }
  TESSERA_INLINE static Lanes multiply(const Weights& weights, const Bf16Pair* x, Lanes acc) {
    return bf16_dot(acc, weights, x);
  }
};

}  // namespace

void matmul_bf16(const tessera_matmul_bf16_args* args) {
  Columns<Bf16> unit{};
  unit.w = static_cast<const char*>(args->weights);
  unit.apart = args->tile_stride;
  unit.x = static_cast<const Bf16Pair*>(args->x.values);
  unit.ldx = args->x.ld_values / 2;
  unit.y = args->y;
  unit.ldy = args->ldy;
  unit.accumulate = args->accumulate != 0;
  unit.end = unit.w + args->tile_end * args->tile_stride;
  unit.jump = args->next == nullptr ? 0 : static_cast<const char*>(args->next) - unit.end;
  multiply_tiles<Bf16>(unit, args->tile_begin, args->tile_end, args->k / 2, args->tokens);
}

}  // namespace tessera::TESSERA_ISA
