// y = W x over quantised tiles and activations quantised by quantize_rows: q8 and q4. Within a block of 32 columns
// everything is an exact integer; the scaled block sums are added in K order, one accumulator per output element.
//
// Integer accumulators start at the correction -128 * sum(x), which turns offset-binary weights into signed ones. A q4
// weight enters as the q8 weight 16 (w - 8), its scale as a sixteenth: nibbles become bytes by a shift or a mask, and
// the same correction serves.
//
// A register block is `Tiles` tiles by `Tokens` rows of x; the order of the loops is that of matmul_columns.hpp: for
// many tokens, panels of K whose weights stay in the nearest cache while the blocks of tokens pass. Panels of q4 are
// unpacked once for all tokens.
//
// A format says what a tile holds:
//
//   struct Format {
//     static constexpr size_t kBlockBytes;       // weights of one block
//     static constexpr bool kUnpacked;           // panels are unpacked
//     static Lanes scale(const uint16_t* p);     // of one block
//     static constexpr int group(int step);      // which four columns the step takes
//     static Bytes weights(const char* block, int step);
//   };
//
// One source per format includes this header.
#pragma once

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
constexpr uint32_t kPairedBlocks = 32;     // for few tokens, shorter tiles are read one after the other, as they lie
constexpr uint32_t kPanel = 16;            // blocks along K that are multiplied with many tokens at a time
constexpr uint32_t kTokenBlock = 64;       // tokens whose sums wait near the core between panels
constexpr int kSteps = TESSERA_BLOCK / 4;  // steps of four columns in a block
constexpr size_t kStepBytes = kLanes * 4;  // unpacked weights of one step
constexpr size_t kBytes = size_t{TESSERA_BLOCK} * TESSERA_LANES;  // unpacked weights of one block
constexpr size_t kScaleBytes = kLanes * sizeof(uint16_t);         // scales of one block
constexpr size_t kPrefetch = 12288;  // bytes ahead, one line per block: the hardware follows up with the lines between

struct Blocks {
  const char* scales;   // first block, first tile
  const char* weights;  // the same
  size_t tile_stride;   // bytes, of both
  uint32_t blocks;
  const int8_t* x;  // first block, first token
  const float* x_scales;
  const int32_t* corrections;
  size_t ld_values;
  size_t ld_blocks;
  const float* sums;  // where accumulators continue from, like y; null: from zero
  size_t ld_sums;
  float* y;  // first row of the first tile, first token
  size_t ldy;
};

/// What unpack() makes of a panel of any format: q8 with widened scales.
struct Panel {
  static constexpr size_t kBlockBytes = kBytes;
  static constexpr size_t kBlockScaleBytes = kLanes * sizeof(float);
  static constexpr bool kStreams = false;
  TESSERA_INLINE static Lanes scale(const char* p) { return load(reinterpret_cast<const float*>(p)); }
  TESSERA_INLINE static constexpr int group(int step) { return step; }
  TESSERA_INLINE static Bytes weights(const char* block, int step) { return load_bytes(block + step * kStepBytes); }
};

template <typename Format, int Tiles, int Tokens>
void multiply(const Blocks& panel) {
  Lanes acc[Tokens][Tiles];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) {
      acc[t][j] = panel.sums != nullptr ? load(panel.sums + t * panel.ld_sums + j * kLanes) : zero();
    }
  }
  for (size_t b = 0; b < panel.blocks; ++b) {
    Q8Activations x[Tokens];
    IntLanes dot[Tokens][Tiles];
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      x[t].prepare(panel.x + t * panel.ld_values + b * TESSERA_BLOCK);
#pragma GCC unroll 16
      for (int j = 0; j < Tiles; ++j) dot[t][j] = broadcast_int(panel.corrections[t * panel.ld_blocks + b]);
    }
    const char* weights = panel.weights + b * Format::kBlockBytes;
    if constexpr (Format::kStreams) {
#pragma GCC unroll 16
      for (int j = 0; j < Tiles; ++j) _mm_prefetch(weights + j * panel.tile_stride + kPrefetch, _MM_HINT_T1);
    } else {
      // What the next pass reads of its tokens.
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        _mm_prefetch(panel.x + (t + Tokens) * panel.ld_values + b * TESSERA_BLOCK, _MM_HINT_T0);
      }
    }
#pragma GCC unroll kUnroll
    for (int step = 0; step < kSteps; ++step) {
      Q8Weights w[Tiles];
#pragma GCC unroll 16
      for (int j = 0; j < Tiles; ++j) w[j] = to_q8_weights(Format::weights(weights + j * panel.tile_stride, step));
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        const Q8Step four = x[t].step(Format::group(step));
#pragma GCC unroll 16
        for (int j = 0; j < Tiles; ++j) dot[t][j] = q8_dot(dot[t][j], w[j], four);
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) {
      const Lanes scale = Format::scale(panel.scales + j * panel.tile_stride + b * Format::kBlockScaleBytes);
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        const Lanes both = mul(scale, broadcast(panel.x_scales[t * panel.ld_blocks + b]));
        acc[t][j] = fma(to_float(dot[t][j]), both, acc[t][j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int j = 0; j < Tiles; ++j) store(panel.y + t * panel.ldy + j * kLanes, acc[t][j]);
  }
}

using Multiply = void (*)(const Blocks&);
template <typename Format, int Tiles>
constexpr Multiply kMultiply[] = {multiply<Format, Tiles, 1>, multiply<Format, Tiles, 2>, multiply<Format, Tiles, 3>,
                                  multiply<Format, Tiles, 4>, multiply<Format, Tiles, 5>, multiply<Format, Tiles, 6>};

/// At most kTokenBlock tokens; `pass` has the first of them.
template <typename Format, int Tiles>
TESSERA_INLINE void multiply_tokens(Blocks pass, uint32_t tokens) {
  const uint32_t passes = (tokens + kTokens - 1) / kTokens;
  const uint32_t per_pass = (tokens + passes - 1) / passes;
  for (uint32_t t = 0; t < tokens; t += per_pass) {
    kMultiply<Format, Tiles>[(tokens - t < per_pass ? tokens - t : per_pass) - 1](pass);
    pass.x += per_pass * pass.ld_values;
    pass.x_scales += per_pass * pass.ld_blocks;
    pass.corrections += per_pass * pass.ld_blocks;
    if (pass.sums != nullptr) pass.sums += per_pass * pass.ld_sums;
    pass.y += per_pass * pass.ldy;
  }
}

/// A panel of one tile, unpacked: f32 scale[kPanel][16], then u8 w[kPanel][8][16][4].
constexpr size_t kPanelScales = kPanel * Panel::kBlockScaleBytes;
constexpr size_t kPanelStride = kPanelScales + kPanel * kBytes;

template <typename Format, int Tiles>
TESSERA_INLINE void unpack(const Blocks& panel, char* out) {
  for (int j = 0; j < Tiles; ++j, out += kPanelStride) {
    const char* const weights = panel.weights + j * panel.tile_stride;
    const char* const scales = panel.scales + j * panel.tile_stride;
    for (size_t b = 0; b < panel.blocks; ++b) {
      const char* const block = weights + b * Format::kBlockBytes;
      _mm_prefetch(block + kPrefetch, _MM_HINT_T1);
      store(reinterpret_cast<float*>(out + b * Panel::kBlockScaleBytes), Format::scale(scales + b * kScaleBytes));
#pragma GCC unroll 8
      for (int step = 0; step < kSteps; ++step) {
        store_bytes(out + kPanelScales + b * kBytes + Format::group(step) * kStepBytes, Format::weights(block, step));
      }
    }
  }
}

/// At most kTokenBlock tokens over `Tiles` whole tiles, panel by panel.
template <typename Format, int Tiles>
void multiply_panels(const Blocks& tiles, uint32_t tokens) {
  alignas(64) char unpacked[Tiles * kPanelStride];
  alignas(64) float sums[kTokenBlock * Tiles * kLanes];
  Blocks panel = tiles;
  panel.scales = unpacked;
  panel.weights = unpacked + kPanelScales;
  panel.tile_stride = kPanelStride;
  panel.ld_sums = Tiles * kLanes;
  for (uint32_t begin = 0; begin < tiles.blocks; begin += kPanel) {
    const bool last = tiles.blocks - begin <= kPanel;
    Blocks packed = tiles;
    packed.blocks = last ? tiles.blocks - begin : kPanel;
    packed.scales += begin * kScaleBytes;
    packed.weights += begin * Format::kBlockBytes;
    unpack<Format, Tiles>(packed, unpacked);
    panel.blocks = packed.blocks;
    panel.x = tiles.x + begin * TESSERA_BLOCK;
    panel.x_scales = tiles.x_scales + begin;
    panel.corrections = tiles.corrections + begin;
    panel.sums = begin == 0 ? nullptr : sums;
    panel.y = last ? tiles.y : sums;
    panel.ldy = last ? tiles.ldy : panel.ld_sums;
    multiply_tokens<Panel, Tiles>(panel, tokens);
  }
}

/// Scales are read alongside the weights, which would make two short streams of each tile. Touching them first, in
/// order, keeps it one stream for the hardware's prefetcher: without this, tiles from memory arrive at less than half
/// the speed.
TESSERA_INLINE void touch_scales(const Blocks& tiles, int count) {
  for (int j = 0; j < count; ++j) {
    const char* scales = tiles.scales + j * tiles.tile_stride;
    for (const char* end = scales + (tiles.weights - tiles.scales); scales < end; scales += 64) {
      _mm_prefetch(scales, _MM_HINT_T0);
    }
  }
}

template <typename Format, int Tiles>
void multiply_tiles(Blocks tiles, uint32_t tokens) {
  touch_scales(tiles, Tiles);
  if (tokens <= kTokens) return multiply_tokens<Format, Tiles>(tiles, tokens);
  const uint32_t blocks = (tokens + kTokenBlock - 1) / kTokenBlock;
  const uint32_t per_block = (tokens + blocks - 1) / blocks;
  for (uint32_t t = 0; t < tokens; t += per_block) {
    multiply_panels<Format, Tiles>(tiles, tokens - t < per_block ? tokens - t : per_block);
    tiles.x += per_block * tiles.ld_values;
    tiles.x_scales += per_block * tiles.ld_blocks;
    tiles.corrections += per_block * tiles.ld_blocks;
    tiles.y += per_block * tiles.ldy;
  }
}

template <typename Format>
void multiply_unit(const tessera_matmul_q8_args& args) {
  if (args.tokens == 0 || args.blocks == 0) return;
  const size_t scale_bytes = (args.blocks * kScaleBytes + 63) / 64 * 64;
  const bool one_by_one = args.tokens <= 2 || (args.tokens <= kTokens && args.blocks < kPairedBlocks);
  Blocks tiles{};
  tiles.tile_stride = args.tile_stride;
  tiles.blocks = args.blocks;
  tiles.x = args.x.values;
  tiles.x_scales = args.x.scales;
  tiles.corrections = args.x.corrections;
  tiles.ld_values = args.x.ld_values;
  tiles.ld_blocks = args.x.ld_blocks;
  tiles.ldy = args.ldy;
  uint32_t step = 0;
  for (uint32_t tile = args.tile_begin; tile < args.tile_end; tile += step) {
    step = one_by_one || args.tile_end - tile < kTiles ? 1 : kTiles;
    tiles.scales = static_cast<const char*>(args.weights) + tile * args.tile_stride;
    tiles.weights = tiles.scales + scale_bytes;
    tiles.y = args.y + (tile - args.tile_begin) * kLanes;
    (step == kTiles ? multiply_tiles<Format, kTiles> : multiply_tiles<Format, 1>)(tiles, args.tokens);
  }
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
