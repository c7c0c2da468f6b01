// y = W x for weights that are multiplied as floats, column of K by column: f32, and bf16 two columns at a time. One
// accumulator per output element, K in order; speed comes from many accumulators side by side.
//
// A register block is `Tiles` tiles by `Tokens` rows of x. The tiles of a block are read once per `Tokens` tokens and
// stay in the cache while the blocks of tokens pass, so the token loop is the inner one; long matrices are cut into
// panels of K for the same reason. An accumulator that waits between panels is parked in y, which does not change a bit
// of it.
//
// A format says what one vector of 64 bytes of weights is:
//
//   struct Format {
//     using Weights = …;   // in registers
//     using Value = …;     // what one token has for it
//     static Weights load(const char* p);
//     static Lanes multiply(const Weights& weights, const Value* x, Lanes acc);
//     static constexpr int kFewTiles;  // tiles side by side for one or two tokens, where no runs are read
//   };
//
// One source per format includes this header.
#pragma once

#include "kernels/cpu/memory_streams.hpp"
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
constexpr size_t kStepBytes = 64;       // weights of one step: one vector of each tile
constexpr uint32_t kPanel = 1024;       // steps along K per pass when there are several blocks of tokens
constexpr size_t kAhead = 4096;         // bytes between what is multiplied and what is prefetched
constexpr uint32_t kUnroll = 8;         // steps between two looks at where the weights end
constexpr uint32_t kPairedSteps = 512;  // for few tokens, shorter tiles are read one after the other, as they lie

template <typename Format>
struct Columns {
  const char* w;                    // first step of the panel, first tile
  size_t apart;                     // bytes from one of the tiles side by side to the next
  const typename Format::Value* x;  // first step of the panel, first token
  size_t ldx;
  float* y;        // first row of the first tile, first token
  size_t y_apart;  // from one of the tiles side by side to the next
  size_t ldy;
  uint32_t steps;   // of the panel
  bool resume;      // accumulators continue from y
  bool accumulate;  // what is in y is added at the end
  bool fetches;     // this pass is the first over its weights: it prefetches those that come later
  const char* end;  // of the weights
  ptrdiff_t jump;   // from there to what the caller reads next; 0: nobody knows
  PageAhead page_ahead;
};

template <typename Format, int Tiles, int Tokens>
void multiply(const Columns<Format>& block) {
  Lanes acc[Tokens][Tiles];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) {
      acc[t][j] = block.resume ? load(block.y + t * block.ldy + j * block.y_apart) : zero();
    }
  }
  const char* w = block.w;
  const auto* x = block.x;
  const auto step = [&]() TESSERA_LAMBDA {
    typename Format::Weights weights[Tiles];
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) weights[j] = Format::load(w + j * block.apart);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int j = 0; j < Tiles; ++j) acc[t][j] = Format::multiply(weights[j], x + t * block.ldx, acc[t][j]);
    }
    w += kStepBytes;
    ++x;
  };
  uint32_t left = block.steps;
  for (; left >= kUnroll; left -= kUnroll) {
    if (block.fetches) {
      [[maybe_unused]] const ptrdiff_t distance = block.page_ahead.distance(w);
#pragma GCC unroll 16
      for (int j = 0; j < Tiles; ++j) {
#if defined(TESSERA_READS_RUNS)
        prefetch_share(w + j * block.apart + distance, kUnroll * kStepBytes);
#else
        const char* ahead = w + j * block.apart + kAhead;
        ahead += ahead >= block.end ? block.jump : 0;
#pragma GCC unroll 8
        for (uint32_t i = 0; i < kUnroll; ++i) _mm_prefetch(ahead + i * kStepBytes, _MM_HINT_T0);
#endif
      }
    }
#pragma GCC unroll 1
    for (uint32_t i = 0; i < kUnroll; ++i) step();
  }
  for (; left != 0; --left) step();
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) {
      float* const y = block.y + t * block.ldy + j * block.y_apart;
      store(y, block.accumulate ? add(load(y), acc[t][j]) : acc[t][j]);
    }
  }
}

template <typename Format>
using Multiply = void (*)(const Columns<Format>&);
template <typename Format, int Tiles>
constexpr Multiply<Format> kMultiply[] = {
    multiply<Format, Tiles, 1>, multiply<Format, Tiles, 2>, multiply<Format, Tiles, 3>, multiply<Format, Tiles, 4>,
    multiply<Format, Tiles, 5>, multiply<Format, Tiles, 6>, multiply<Format, Tiles, 7>, multiply<Format, Tiles, 8>};

/// All tokens over `Tiles` tiles.
template <typename Format, int Tiles>
void multiply_tokens(Columns<Format> block, uint32_t steps, uint32_t tokens) {
  const Columns<Format> whole = block;
  // Sums that wait in y would be in the way of what they are added to.
  const uint32_t panel = tokens > kTokens && !block.accumulate ? kPanel : steps;
  const uint32_t passes = (tokens + kTokens - 1) / kTokens;
  const uint32_t per_pass = (tokens + passes - 1) / passes;
  uint32_t begin = 0;
  do {
    const uint32_t width = steps - begin < panel ? steps - begin : panel;
    for (uint32_t t = 0; t < tokens; t += per_pass) {
      const uint32_t count = tokens - t < per_pass ? tokens - t : per_pass;
      block.w = whole.w + begin * kStepBytes;
      block.x = whole.x + t * whole.ldx + begin;
      block.y = whole.y + t * whole.ldy;
      block.steps = width;
      block.resume = begin != 0;
      block.fetches = t == 0;
      kMultiply<Format, Tiles>[count - 1](block);
    }
    begin += width;
  } while (begin < steps);
}

/// Tiles tile_begin .. tile_end-1 of the unit. `unit` has x, y and the strides (`apart` from one tile to the next), and
/// tile 0 as w.
template <typename Format>
void multiply_tiles(const Columns<Format>& unit, uint32_t tile_begin, uint32_t tile_end, uint32_t steps,
                    uint32_t tokens) {
  if (tokens == 0) return;
  uint32_t tile = tile_begin;
  // `side` tiles side by side, `gap` tiles from one to the next, `count` times.
  const auto take = [&](uint32_t side, uint32_t gap, uint32_t count, auto multiply) TESSERA_LAMBDA {
    const char* const next = unit.jump == 0 ? nullptr : unit.end + unit.jump;
    const uint32_t length = gap == 1 ? side * count : gap;
    const PageAhead ahead = PageAhead::of(unit.w + tile * unit.apart, length * unit.apart, next);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t first = gap == 1 ? tile + i * side : tile + i;
      Columns<Format> block = unit;
      block.w = unit.w + first * unit.apart;
      block.apart = gap * unit.apart;
      block.y = unit.y + (first - tile_begin) * kLanes;
      block.y_apart = gap * kLanes;
      block.page_ahead = ahead;
      multiply(block, steps, tokens);
    }
    tile += side * count;
  };
#if defined(TESSERA_READS_RUNS)
  // As many accumulators as there are registers for.
  const uint32_t runs = tokens <= 5 ? 4 : tokens <= kTokens ? 3 : 0;
  if (runs != 0 && tile_end - tile >= runs) {
    const uint32_t length = (tile_end - tile) / runs;
    take(runs, length, length, runs == 4 ? multiply_tokens<Format, 4> : multiply_tokens<Format, 3>);
  }
#else
  if (tokens <= 2) {
    constexpr uint32_t few = Format::kFewTiles;
    take(few, 1, (tile_end - tile) / few, multiply_tokens<Format, few>);
  }
#endif
  if (tokens > kTokens || (tokens > 2 && steps >= kPairedSteps)) {
    take(kTiles, 1, (tile_end - tile) / kTiles, multiply_tokens<Format, kTiles>);
  }
  take(1, 1, tile_end - tile, multiply_tokens<Format, 1>);
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
