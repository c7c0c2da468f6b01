// y = W x over quantised tiles and activations quantised by quantize_rows: q8 and q4. Within a block of 32 columns
// everything is an exact integer; the scaled block sums are added in K order, one accumulator per output element.
//
// Integer accumulators start at the correction -128 * sum(x), which turns offset-binary weights into signed ones. A q4
// weight enters as the q8 weight 16 (w - 8), its scale as a sixteenth: nibbles become bytes by a shift or a mask, and
// the same correction serves.
//
// A pass is one tile by up to kTokens rows of x: each vector of weights is loaded once, activations are broadcast out
// of memory by the multiplication itself. Around it, from the inside out: passes share a panel of K, whose weights stay
// in the nearest cache; panels make a tile; a group of tiles shares a block of tokens, and the blocks of tokens share
// the group, so that both stay in the second cache while each meets the other.
//
// A format says what a tile holds:
//
//   struct Format {
//     static constexpr size_t kBlockBytes;       // weights of one block
//     static constexpr size_t kBlockScaleBytes;  // scales of one block
//     static constexpr size_t kSourceBytes;      // weights of one block as they lie in memory
//     static constexpr bool kPacked;             // passes over many tokens unpack a panel first
//     static Lanes scale(const char* p);         // of one block
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

// As many integer and float accumulators as the registers hold. Without 32 registers, unrolled steps only spill.
#if defined(__AVX512F__)
constexpr int kTokens = 12;
constexpr int kUnroll = 8;
#else
constexpr int kTokens = 3;
constexpr int kUnroll = 1;
#endif
constexpr uint32_t kRowGroup = TESSERA_ROW_GROUP;
constexpr uint32_t kPanel = 16;             // blocks along K that several passes share
constexpr uint32_t kUnpackPasses = 3;       // from so many passes on, unpacking a panel pays
constexpr size_t kGroupBytes = 256 << 10;   // of tiles that meet one block of tokens after the other
constexpr size_t kTokenBytes = 192 << 10;   // of a block of tokens
constexpr uint32_t kParkedTokens = 96;      // whose sums may wait between panels
constexpr size_t kAhead = 4096;             // bytes that a single pass prefetches ahead
constexpr int kSteps = TESSERA_BLOCK / 4;   // steps of four columns in a block
constexpr size_t kStepBytes = kLanes * 4;   // unpacked weights of one step
constexpr size_t kBytes = size_t{TESSERA_BLOCK} * TESSERA_LANES;  // unpacked weights of one block
constexpr size_t kScaleBytes = kLanes * sizeof(uint16_t);         // scales of one block
constexpr size_t kLine = 64;

/// Weights come from memory as one stream: tile after tile, and behind the last of them what the caller reads next.
struct Stream {
  const char* end;
  ptrdiff_t jump;  // from the end to what comes next
  size_t ahead;    // bytes between what is read and what is prefetched
  TESSERA_INLINE void prefetch(const char* p, size_t lines) const {
    p += ahead;
    p += p >= end ? jump : 0;
    for (size_t i = 0; i < lines; ++i) _mm_prefetch(p + i * kLine, _MM_HINT_T0);
  }
};

struct Pass {
  const char* scales;   // first block
  const char* weights;  // the same
  const char* source;   // the same, as it lies in memory
  uint32_t blocks;
  const int8_t* x;  // first block, first token
  const float* x_scales;
  const int32_t* corrections;
  size_t group;         // entries of x from one block to the next
  size_t group_stride;  // from one group of rows to the next
  const float* sums;  // accumulators continue from here; null: from zero
  float* y;           // first row of the tile, first token
  size_t ld_sums;
  size_t ldy;
  bool accumulate;  // what is in y is added at the end
  // Of the weights that come later, this pass prefetches a share: those of block `turn`, turn + turns, …
  uint32_t turn;
  uint32_t turns;
  Stream stream;
};

/// What unpack() makes of a panel of any format: q8 with widened scales.
template <typename Source>
struct Panel {
  static constexpr size_t kBlockBytes = kBytes;
  static constexpr size_t kBlockScaleBytes = kLanes * sizeof(float);
  static constexpr size_t kSourceBytes = Source::kBlockBytes;
  static constexpr bool kPacked = false;
  TESSERA_INLINE static Lanes scale(const char* p) { return load(reinterpret_cast<const float*>(p)); }
  TESSERA_INLINE static constexpr int group(int step) { return step; }
  TESSERA_INLINE static Bytes weights(const char* block, int step) { return load_bytes(block + step * kStepBytes); }
};

/// Keeps the compiler from making several addresses of one.
template <typename T>
TESSERA_INLINE void pin(T*& p) {
  __asm__("" : "+r"(p));
}

template <typename Format, int Tokens>
void multiply(const Pass& pass) {
  Lanes acc[Tokens];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) acc[t] = pass.sums != nullptr ? load(pass.sums + t * pass.ld_sums) : zero();
  const char *weights = pass.weights, *scales = pass.scales;
  const int8_t* values = pass.x;
  const float* x_scales = pass.x_scales;
  const int32_t* corrections = pass.corrections;
  uint32_t turn = pass.turn;
  for (uint32_t b = 0; b < pass.blocks; ++b) {
    // One address each, with constant distances from it: not a register for every token.
    pin(weights), pin(values), pin(x_scales), pin(corrections);
    Q8Activations x[Tokens];
    IntLanes dot[Tokens];
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      x[t].prepare(values + t * TESSERA_BLOCK);
      dot[t] = broadcast_int(corrections[t]);
    }
    if (b == turn) {
      pass.stream.prefetch(pass.source + b * Format::kSourceBytes, Format::kSourceBytes / kLine);
      turn += pass.turns;
    }
#pragma GCC unroll kUnroll
    for (int step = 0; step < kSteps; ++step) {
      const Q8Weights w = to_q8_weights(Format::weights(weights, step));
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) dot[t] = x[t].multiply(dot[t], w, Format::group(step));
    }
    const Lanes scale = Format::scale(scales);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) acc[t] = fma(to_float(dot[t]), mul(scale, broadcast(x_scales[t])), acc[t]);
    weights += Format::kBlockBytes;
    scales += Format::kBlockScaleBytes;
    values += pass.group * TESSERA_BLOCK;
    x_scales += pass.group;
    corrections += pass.group;
  }
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
    float* const y = pass.y + t * pass.ldy;
    store(y, pass.accumulate ? add(load(y), acc[t]) : acc[t]);
  }
}

using Multiply = void (*)(const Pass&);
template <typename Format>
constexpr Multiply kMultiply[] = {multiply<Format, 1>,  multiply<Format, 2>,  multiply<Format, 3>,
#if defined(__AVX512F__)
                                  multiply<Format, 4>,  multiply<Format, 5>,  multiply<Format, 6>,
                                  multiply<Format, 7>,  multiply<Format, 8>,  multiply<Format, 9>,
                                  multiply<Format, 10>, multiply<Format, 11>, multiply<Format, 12>
#endif
};

/// Moves on by some entries of x.
TESSERA_INLINE void advance(Pass& pass, size_t entries) {
  pass.x += entries * TESSERA_BLOCK;
  pass.x_scales += entries;
  pass.corrections += entries;
}

/// One panel and one block of tokens. `pass` has the first of them.
template <typename Format>
TESSERA_INLINE void multiply_tokens(Pass pass, uint32_t tokens, bool from_memory) {
  pass.turns = (tokens + kTokens - 1) / kTokens;
  pass.turn = from_memory ? 0 : pass.blocks;
  for (uint32_t token = 0; token < tokens; token += kRowGroup) {
    Pass part = pass;
    uint32_t left = tokens - token < kRowGroup ? tokens - token : kRowGroup;
    for (; left > kTokens; left -= kTokens, ++pass.turn) {
      part.turn = pass.turn;
      kMultiply<Format>[kTokens - 1](part);
      advance(part, kTokens);
      part.sums += part.sums != nullptr ? kTokens * part.ld_sums : 0;
      part.y += kTokens * part.ldy;
    }
    part.turn = pass.turn++;
    kMultiply<Format>[left - 1](part);
    advance(pass, pass.group_stride);
    pass.sums += pass.sums != nullptr ? kRowGroup * pass.ld_sums : 0;
    pass.y += kRowGroup * pass.ldy;
  }
}

/// A panel of one tile, unpacked: f32 scale[kPanel][16], then u8 w[kPanel][8][16][4].
constexpr size_t kPanelScales = kPanel * kLanes * sizeof(float);
constexpr size_t kPanelBytes = kPanelScales + kPanel * kBytes;

template <typename Format>
TESSERA_INLINE void unpack(const Pass& panel, char* out) {
  for (size_t b = 0; b < panel.blocks; ++b) {
    store(reinterpret_cast<float*>(out) + b * kLanes, Format::scale(panel.scales + b * Format::kBlockScaleBytes));
#pragma GCC unroll 8
    for (int step = 0; step < kSteps; ++step) {
      store_bytes(out + kPanelScales + b * kBytes + Format::group(step) * kStepBytes,
                  Format::weights(panel.weights + b * Format::kBlockBytes, step));
    }
  }
}

/// One tile and one block of tokens, panel by panel; sums wait beside the core between panels.
template <typename Format>
void multiply_tile(const Pass& tile, uint32_t tokens, bool from_memory) {
  const bool unpacks = Format::kPacked && tokens > (kUnpackPasses - 1) * kTokens;
  const uint32_t width = tokens <= kTokens ? tile.blocks : kPanel;
  alignas(64) char unpacked[Format::kPacked ? kPanelBytes : 64];
  alignas(64) float sums[kParkedTokens * kLanes];
  Pass panel = tile;
  // The passes over a panel fetch the next one together.
  panel.stream.ahead = tokens <= kTokens ? kAhead : width * Format::kBlockBytes;
  panel.ld_sums = kLanes;
  // Scales lie in front of the weights: here the stream passes over them.
  if (from_memory) panel.stream.prefetch(panel.scales, static_cast<size_t>(panel.weights - panel.scales) / kLine);
  for (uint32_t begin = 0; begin < tile.blocks; begin += width) {
    const bool last = tile.blocks - begin <= width;
    panel.blocks = last ? tile.blocks - begin : width;
    panel.sums = begin == 0 ? nullptr : sums;
    panel.y = last ? tile.y : sums;
    panel.ldy = last ? tile.ldy : kLanes;
    panel.accumulate = last && tile.accumulate;
    panel.source = panel.weights;
    if (unpacks) {
      if constexpr (Format::kPacked) {
        unpack<Format>(panel, unpacked);
        Pass bytes = panel;
        bytes.scales = unpacked;
        bytes.weights = unpacked + kPanelScales;
        multiply_tokens<Panel<Format>>(bytes, tokens, from_memory);
      }
    } else {
      multiply_tokens<Format>(panel, tokens, from_memory);
    }
    panel.scales += width * Format::kBlockScaleBytes;
    panel.weights += width * Format::kBlockBytes;
    advance(panel, width * panel.group);
  }
}

/// Tokens that meet a group of tiles at a time: as many as fit the cache, and their sums where those must wait.
TESSERA_INLINE uint32_t token_block(uint32_t blocks) {
  const size_t token_bytes = size_t{blocks} * (TESSERA_BLOCK + sizeof(float) + sizeof(int32_t));
  const size_t fitting = kTokenBytes / token_bytes;
  const size_t most = blocks > kPanel ? kParkedTokens : 1u << 20;
  const size_t tokens = fitting > most ? most : fitting;
  return static_cast<uint32_t>(tokens < 4 * kRowGroup ? 4 * kRowGroup : tokens / kRowGroup * kRowGroup);
}

template <typename Format>
void multiply_unit(const tessera_matmul_q8_args& args) {
  if (args.tokens == 0 || args.blocks == 0) return;
  const size_t scale_bytes = (args.blocks * kScaleBytes + kLine - 1) / kLine * kLine;
  const char* const first = static_cast<const char*>(args.weights);
  Pass tile{};
  tile.blocks = args.blocks;
  tile.group = args.x.group;
  tile.group_stride = args.x.group_stride;
  tile.ldy = args.ldy;
  tile.accumulate = args.accumulate != 0;
  tile.stream.end = first + args.tile_end * args.tile_stride;
  tile.stream.jump = args.next == nullptr ? 0 : static_cast<const char*>(args.next) - tile.stream.end;
  const uint32_t block = token_block(args.blocks);
  const uint32_t fitting = static_cast<uint32_t>(kGroupBytes / args.tile_stride);
  const uint32_t group = args.tokens <= block ? args.tile_end - args.tile_begin : fitting < 1 ? 1 : fitting;
  for (uint32_t begin = args.tile_begin; begin < args.tile_end; begin += group) {
    const uint32_t end = args.tile_end - begin < group ? args.tile_end : begin + group;
    for (uint32_t token = 0; token < args.tokens; token += block) {
      const uint32_t tokens = args.tokens - token < block ? args.tokens - token : block;
      tile.x = args.x.values;
      tile.x_scales = args.x.scales;
      tile.corrections = args.x.corrections;
      advance(tile, token / kRowGroup * args.x.group_stride);
      for (uint32_t index = begin; index < end; ++index) {
        tile.scales = first + index * args.tile_stride;
        tile.weights = tile.scales + scale_bytes;
        tile.y = args.y + token * args.ldy + (index - args.tile_begin) * kLanes;
        multiply_tile<Format>(tile, tokens, token == 0);
      }
    }
  }
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
