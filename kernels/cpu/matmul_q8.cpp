// y = W x over q8 tiles and activations quantised by quantize_rows. Within a block of 32 columns everything is an exact
// integer; the scaled block sums are added in K order, one accumulator per output element.
//
// The register blocks and the order of the loops are those of matmul_f32.cpp. Integer accumulators start at the
// correction -128 * sum(x), which turns the stored offset-binary weights into signed ones.
#include "kernels/cpu/ops.hpp"
#include "kernels/cpu/vec.hpp"

namespace tessera::TESSERA_ISA {
namespace {

// The register block: as many integer accumulators as the registers hold. Without 32 registers, unrolled steps only
// spill.
#if defined(__AVX512F__)
constexpr int kTiles = 2;
constexpr int kTokens = 6;
constexpr int kUnroll = 8;
#else
constexpr int kTiles = 1;
constexpr int kTokens = 3;
constexpr int kUnroll = 1;
#endif
constexpr uint32_t kPairedBlocks = 32;        // for few tokens, shorter tiles are read one after the other, as they lie
constexpr size_t kSteps = TESSERA_BLOCK / 4;  // steps of four columns in a block
constexpr size_t kStepBytes = kLanes * 4;     // weights of one step
constexpr size_t kBlockBytes = size_t{TESSERA_BLOCK} * TESSERA_LANES;  // weights of one block
constexpr size_t kPrefetch = 12288;  // bytes ahead, one line per block: the hardware follows up with the lines between

struct Block {
  const char* tile;       // first tile
  size_t tile_stride;     // bytes
  size_t weights_offset;  // bytes from a tile to its weights: past the scales
  uint32_t blocks;
  const int8_t* x;  // first token
  const float* scales;
  const int32_t* corrections;
  size_t ld_values;
  size_t ld_blocks;
  float* y;  // first row of the first tile, first token
  size_t ldy;
};

/// Scales are read alongside the weights, which would make two short streams of each tile. Touching them first, in
/// order, keeps it one stream for the hardware's prefetcher: without this, tiles from memory arrive at less than half
/// the speed.
TESSERA_INLINE void touch_scales(const Block& block, int tiles) {
  for (int j = 0; j < tiles; ++j) {
    const char* scales = block.tile + j * block.tile_stride;
    for (size_t i = 0; i < block.weights_offset; i += 64) _mm_prefetch(scales + i, _MM_HINT_T0);
  }
}

template <int Tiles, int Tokens>
void multiply(const Block& block) {
  touch_scales(block, Tiles);
  Lanes acc[Tokens][Tiles];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) acc[t][j] = zero();
  }
  for (size_t b = 0; b < block.blocks; ++b) {
    Q8Activations x[Tokens];
    IntLanes dot[Tokens][Tiles];
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      x[t].prepare(block.x + t * block.ld_values + b * TESSERA_BLOCK);
#pragma GCC unroll 16
      for (int j = 0; j < Tiles; ++j) dot[t][j] = broadcast_int(block.corrections[t * block.ld_blocks + b]);
    }
    const char* weights = block.tile + block.weights_offset + b * kBlockBytes;
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) _mm_prefetch(weights + j * block.tile_stride + kPrefetch, _MM_HINT_T1);
#pragma GCC unroll kUnroll
    for (size_t step = 0; step < kSteps; ++step) {
      Q8Weights w[Tiles];
#pragma GCC unroll 16
      for (int j = 0; j < Tiles; ++j) {
        const char* p = weights + j * block.tile_stride + step * kStepBytes;
        w[j] = load_q8_weights(reinterpret_cast<const uint8_t*>(p));
      }
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        const Q8Step four = x[t].step(step);
#pragma GCC unroll 16
        for (int j = 0; j < Tiles; ++j) dot[t][j] = q8_dot(dot[t][j], w[j], four);
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) {
      const char* scales = block.tile + j * block.tile_stride + b * kLanes * sizeof(uint16_t);
      const Lanes scale = widen_f16(reinterpret_cast<const uint16_t*>(scales));
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        const Lanes both = mul(scale, broadcast(block.scales[t * block.ld_blocks + b]));
        acc[t][j] = fma(to_float(dot[t][j]), both, acc[t][j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) store(block.y + t * block.ldy + j * kLanes, acc[t][j]);
  }
}

using Multiply = void (*)(const Block&);
template <int Tiles>
constexpr Multiply kMultiply[] = {multiply<Tiles, 1>, multiply<Tiles, 2>, multiply<Tiles, 3>,
                                  multiply<Tiles, 4>, multiply<Tiles, 5>, multiply<Tiles, 6>};

}  // namespace

void matmul_q8(const tessera_matmul_q8_args* args) {
  const size_t scale_bytes = size_t{args->blocks} * kLanes * sizeof(uint16_t);
  Block block{};
  block.tile_stride = args->tile_stride;
  block.weights_offset = (scale_bytes + 63) / 64 * 64;
  block.blocks = args->blocks;
  block.ld_values = args->x.ld_values;
  block.ld_blocks = args->x.ld_blocks;
  block.ldy = args->ldy;
  const bool one_by_one = args->tokens <= 2 || (args->tokens <= kTokens && args->blocks < kPairedBlocks);
  const uint32_t tiles = one_by_one ? 1 : kTiles;
  const uint32_t passes = (args->tokens + kTokens - 1) / kTokens;
  const uint32_t per_pass = passes == 0 ? 0 : (args->tokens + passes - 1) / passes;
  uint32_t step = 0;
  for (uint32_t tile = args->tile_begin; tile < args->tile_end; tile += step) {
    step = args->tile_end - tile >= tiles ? tiles : 1;
    block.tile = static_cast<const char*>(args->weights) + tile * args->tile_stride;
    for (uint32_t t = 0; t < args->tokens; t += per_pass) {
      const uint32_t count = args->tokens - t < per_pass ? args->tokens - t : per_pass;
      block.x = args->x.values + t * block.ld_values;
      block.scales = args->x.scales + t * block.ld_blocks;
      block.corrections = args->x.corrections + t * block.ld_blocks;
      block.y = args->y + t * block.ldy + (tile - args->tile_begin) * kLanes;
      (step == kTiles ? kMultiply<kTiles> : kMultiply<1>)[count - 1](block);
    }
  }
}

}  // namespace tessera::TESSERA_ISA
