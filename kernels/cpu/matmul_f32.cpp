// y = W x over f32 tiles: one column of K a step.
#include "kernels/cpu/matmul_columns.hpp"

namespace tessera::TESSERA_ISA {
namespace {

struct F32 {
  using Weights = Lanes;
  using Value = float;
  static constexpr int kFewTiles = 1;
  TESSERA_INLINE static Weights load(const char* p) {
    return ::tessera::TESSERA_ISA::load(reinterpret_cast<const float*>(p));
  }
  TESSERA_INLINE static Lanes multiply(const Weights& weights, const float* x, Lanes acc) {
    return fma(weights, broadcast(*x), acc);
  }
};

}  // namespace

void matmul_f32(const tessera_matmul_f32_args* args) {
  Columns<F32> unit{};
  unit.w = static_cast<const char*>(args->weights);
  unit.apart = args->tile_stride;
  unit.x = args->x;
  unit.ldx = args->ldx;
  unit.y = args->y;
  unit.ldy = args->ldy;
  unit.accumulate = args->accumulate != 0;
  unit.end = unit.w + args->tile_end * args->tile_stride;
  unit.jump = args->next == nullptr ? 0 : static_cast<const char*>(args->next) - unit.end;
  multiply_tiles<F32>(unit, args->tile_begin, args->tile_end, args->k, args->tokens);
}

}  // namespace tessera::TESSERA_ISA
