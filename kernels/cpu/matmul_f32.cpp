// y = W x over f32 tiles. One accumulator per output element, K in order; speed comes from many accumulators side by
// side.
//
// A register block is `Tiles` tiles by `Tokens` rows of x. The tiles of a block are read once per `Tokens` tokens and
// stay in the cache while the blocks of tokens pass, so the token loop is the inner one; long matrices are cut into
// panels of K for the same reason. An accumulator that waits between panels is parked in y, which does not change a bit
// of it.
#include "kernels/cpu/ops.hpp"
#include "kernels/cpu/vec.hpp"

namespace tessera::TESSERA_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTiles = 2;
constexpr int kTokens = 8;
#else
constexpr int kTiles = 1;
constexpr int kTokens = 6;
#endif
constexpr uint32_t kPanel = 1024;         // columns of K per pass when there are several blocks of tokens
constexpr size_t kPrefetch = 12288;       // bytes ahead
constexpr uint32_t kColumns = 8;          // columns per prefetched line: the hardware follows up with the lines between
constexpr uint32_t kPairedColumns = 512;  // for few tokens, shorter tiles are read one after the other, as they lie

struct Block {
  const float* w;      // column 0 of the panel, first tile
  size_t tile_stride;  // floats
  const float* x;      // column 0 of the panel, first token
  size_t ldx;
  float* y;  // first row of the first tile, first token
  size_t ldy;
  uint32_t k;   // columns of the panel
  bool resume;  // accumulators continue from y
};

template <int Tiles, int Tokens>
void multiply(const Block& block) {
  Lanes acc[Tokens][Tiles];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) {
      acc[t][j] = block.resume ? load(block.y + t * block.ldy + j * kLanes) : zero();
    }
  }
  const float* w = block.w;
  const float* x = block.x;
  const auto column = [&]() TESSERA_LAMBDA {
    Lanes weights[Tiles];
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) weights[j] = load(w + j * block.tile_stride);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      const Lanes value = broadcast(x[t * block.ldx]);
#pragma GCC unroll 16
      for (int j = 0; j < Tiles; ++j) acc[t][j] = fma(weights[j], value, acc[t][j]);
    }
    w += kLanes;
    ++x;
  };
  uint32_t left = block.k;
  for (; left >= kColumns; left -= kColumns) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) {
      _mm_prefetch(reinterpret_cast<const char*>(w + j * block.tile_stride) + kPrefetch, _MM_HINT_T1);
    }
#pragma GCC unroll 1
    for (uint32_t i = 0; i < kColumns; ++i) column();
  }
  for (; left != 0; --left) column();
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) store(block.y + t * block.ldy + j * kLanes, acc[t][j]);
  }
}

using Multiply = void (*)(const Block&);
template <int Tiles>
constexpr Multiply kMultiply[] = {multiply<Tiles, 1>, multiply<Tiles, 2>, multiply<Tiles, 3>, multiply<Tiles, 4>,
                                  multiply<Tiles, 5>, multiply<Tiles, 6>, multiply<Tiles, 7>, multiply<Tiles, 8>};

/// All tokens over `Tiles` tiles.
template <int Tiles>
void multiply_tokens(Block block, uint32_t k, uint32_t tokens) {
  const Block whole = block;
  const uint32_t panel = tokens > kTokens ? kPanel : k;
  const uint32_t passes = (tokens + kTokens - 1) / kTokens;
  const uint32_t per_pass = (tokens + passes - 1) / passes;
  uint32_t begin = 0;
  do {
    const uint32_t width = k - begin < panel ? k - begin : panel;
    for (uint32_t t = 0; t < tokens; t += per_pass) {
      const uint32_t count = tokens - t < per_pass ? tokens - t : per_pass;
      block.w = whole.w + begin * kLanes;
      block.x = whole.x + t * whole.ldx + begin;
      block.y = whole.y + t * whole.ldy;
      block.k = width;
      block.resume = begin != 0;
      kMultiply<Tiles>[count - 1](block);
    }
    begin += width;
  } while (begin < k);
}

}  // namespace

void matmul_f32(const tessera_matmul_f32_args* args) {
  Block block{};
  block.tile_stride = args->tile_stride / sizeof(float);
  block.x = args->x;
  block.ldx = args->ldx;
  block.ldy = args->ldy;
  block.k = args->k;
  uint32_t tile = args->tile_begin;
  const auto at_tile = [&] {
    block.w = reinterpret_cast<const float*>(static_cast<const char*>(args->weights) + tile * args->tile_stride);
    block.y = args->y + (tile - args->tile_begin) * kLanes;
  };
  if (args->tokens == 0) return;
  const bool one_by_one = args->tokens <= 2 || (args->tokens <= kTokens && args->k < kPairedColumns);
  if (!one_by_one) {
    for (; args->tile_end - tile >= kTiles; tile += kTiles) {
      at_tile();
      multiply_tokens<kTiles>(block, args->k, args->tokens);
    }
  }
  for (; tile < args->tile_end; ++tile) {
    at_tile();
    multiply_tokens<1>(block, args->k, args->tokens);
  }
}

}  // namespace tessera::TESSERA_ISA
