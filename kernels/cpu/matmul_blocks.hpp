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

#include "kernels/cpu/memory_streams.hpp"
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
constexpr uint32_t kPanel = 16;            // blocks along K that several passes share
constexpr uint32_t kUnpackPasses = 3;      // from so many passes on, unpacking a panel pays
constexpr size_t kGroupBytes = 256 << 10;  // of tiles that meet one block of tokens after the other
constexpr size_t kTokenBytes = 192 << 10;  // of a block of tokens
constexpr uint32_t kParkedTokens = 96;     // whose sums may wait between panels
constexpr size_t kAhead = 4096;            // bytes that a single pass prefetches ahead
constexpr int kSteps = TESSERA_BLOCK / 4;  // steps of four columns in a block
constexpr size_t kStepBytes = kLanes * 4;  // unpacked weights of one step
constexpr size_t kBytes = size_t{TESSERA_BLOCK} * TESSERA_LANES;  // unpacked weights of one block
constexpr size_t kScaleBytes = kLanes * sizeof(uint16_t);         // scales of one block
constexpr uint32_t kScalesAhead = 16;  // in tiles of so many blocks, the next tile's scales are far from the weights

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
  const char* scales;   // first block, first tile
  const char* weights;  // the same
  const char* source;   // the same, as it lies in memory
  uint32_t blocks;
  uint32_t tiles;
  size_t tile_stride;  // bytes, of all three
  const int8_t* x;     // first block, first token
  const float* x_scales;
  const int32_t* corrections;
  size_t group;         // entries of x from one block to the next
  size_t group_stride;  // from one group of rows to the next
  const float* sums;    // accumulators continue from here; null: from zero
  float* y;             // first row of the tile, first token
  size_t ld_sums;
  size_t ldy;
  bool accumulate;       // what is in y is added at the end
  uint32_t scale_lines;  // of each tile, where this pass prefetches those that come later
  // Of the weights that come later, this pass prefetches a share: those of block `turn`, turn + turns, …
  uint32_t turn;
  uint32_t turns;
  Stream stream;         // of a single run
  PageAhead page_ahead;  // of several
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

/// `Runs` of pass.tiles tiles each, one behind the other in memory, that are read side by side.
template <typename Format, int Tokens, int Runs = 1>
void multiply(const Pass& pass) {
  const char *first_weights = pass.weights, *first_scales = pass.scales, *source = pass.source;
  const size_t apart = pass.tiles * pass.tile_stride, y_apart = size_t{pass.tiles} * kLanes;
  const bool scales_ahead = pass.blocks >= kScalesAhead;
  float* y = pass.y;
  for (uint32_t tile = 0; tile < pass.tiles; ++tile) {
    // Scales lie in front of the weights: here the stream passes over them.
    if (Runs == 1 && pass.scale_lines != 0) pass.stream.prefetch(first_scales, pass.scale_lines);
    const char *weights = first_weights, *scales = first_scales;
    const int8_t* values = pass.x;
    const float* x_scales = pass.x_scales;
    const int32_t* corrections = pass.corrections;
    uint32_t turn = pass.turn;
    Lanes acc[Runs][Tokens];
#pragma GCC unroll 16
    for (int run = 0; run < Runs; ++run) {
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        acc[run][t] = Runs == 1 && pass.sums != nullptr ? load(pass.sums + t * pass.ld_sums) : zero();
      }
    }
    for (uint32_t b = 0; b < pass.blocks; ++b) {
      // One address each, with constant distances from it: not a register for every token.
      pin(weights), pin(values), pin(x_scales), pin(corrections);
      [[maybe_unused]] const ptrdiff_t ahead = pass.page_ahead.distance(weights);
#pragma GCC unroll 16
      for (int run = 0; run < Runs; ++run) {
        Q8Activations x[Tokens];
        IntLanes dot[Tokens];
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
          x[t].prepare(values + t * TESSERA_BLOCK);
          dot[t] = broadcast_int(corrections[t]);
        }
        if constexpr (Runs == 1) {
          if (b == turn) {
            pass.stream.prefetch(source + b * Format::kSourceBytes, Format::kSourceBytes / kLine);
            turn += pass.turns;
          }
        } else {
          prefetch_share(weights + run * apart + ahead, Format::kBlockBytes);
          if (scales_ahead && b % 2 == 0) prefetch_second(scales + run * apart + pass.tile_stride);
        }
#pragma GCC unroll kUnroll
        for (int step = 0; step < kSteps; ++step) {
          const Q8Weights w = to_q8_weights(Format::weights(weights + run * apart, step));
#pragma GCC unroll 16
          for (int t = 0; t < Tokens; ++t) dot[t] = x[t].multiply(dot[t], w, Format::group(step));
        }
        const Lanes scale = Format::scale(scales + run * apart);
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
          acc[run][t] = fma(to_float(dot[t]), mul(scale, broadcast(x_scales[t])), acc[run][t]);
        }
      }
      weights += Format::kBlockBytes;
      scales += Format::kBlockScaleBytes;
      values += pass.group * TESSERA_BLOCK;
      x_scales += pass.group;
      corrections += pass.group;
    }
#pragma GCC unroll 16
    for (int run = 0; run < Runs; ++run) {
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        float* const place = y + run * y_apart + t * pass.ldy;
        store(place, pass.accumulate ? add(load(place), acc[run][t]) : acc[run][t]);
      }
    }
    first_weights += pass.tile_stride;
    first_scales += pass.tile_stride;
    source += pass.tile_stride;
    y += kLanes;
  }
}

using Multiply = void (*)(const Pass&);
template <typename Format>
constexpr Multiply kMultiply[] = {multiply<Format, 1>, multiply<Format, 2>, multiply<Format, 3>,
#if defined(__AVX512F__)
                                  multiply<Format, 4>, multiply<Format, 5>, multiply<Format, 6>,  multiply<Format, 7>,
                                  multiply<Format, 8>, multiply<Format, 9>, multiply<Format, 10>, multiply<Format, 11>,
                                  multiply<Format, 12>
#endif
};

#if defined(TESSERA_READS_RUNS)
/// Tiles of 1 to 8 tokens that are read side by side: as many as the registers have accumulators for.
constexpr uint32_t kRuns[] = {4, 4, 4, 4, 4, 4, 2, 2};
template <typename Format>
constexpr Multiply kMultiplyRuns[] = {multiply<Format, 1, kRuns[0]>, multiply<Format, 2, kRuns[1]>,
                                      multiply<Format, 3, kRuns[2]>, multiply<Format, 4, kRuns[3]>,
                                      multiply<Format, 5, kRuns[4]>, multiply<Format, 6, kRuns[5]>,
                                      multiply<Format, 7, kRuns[6]>, multiply<Format, 8, kRuns[7]>};
/// Two or three tiles that are left of runs of four, by tokens.
template <typename Format>
constexpr Multiply kMultiplyRest[][2] = {
    {multiply<Format, 1, 2>, multiply<Format, 1, 3>}, {multiply<Format, 2, 2>, multiply<Format, 2, 3>},
    {multiply<Format, 3, 2>, multiply<Format, 3, 3>}, {multiply<Format, 4, 2>, multiply<Format, 4, 3>},
    {multiply<Format, 5, 2>, multiply<Format, 5, 3>}, {multiply<Format, 6, 2>, multiply<Format, 6, 3>}};
#endif

/// Moves on by some entries of x.
TESSERA_INLINE void advance(Pass& pass, size_t entries) {
  pass.x += entries * TESSERA_BLOCK;
  pass.x_scales += entries;
  pass.corrections += entries;
}

/// One panel and one block of tokens; `pass` has the first of them and is moved along.
template <typename Format>
TESSERA_INLINE void multiply_tokens(Pass& pass, uint32_t tokens, bool from_memory) {
  static_assert(kRowGroup % kTokens == 0);
  pass.turns = (tokens + kTokens - 1) / kTokens;
  pass.turn = from_memory ? 0 : pass.blocks;
  const size_t to_next_group = pass.group_stride - (kRowGroup - kTokens);
  uint32_t in_group = 0;
  for (uint32_t token = 0; token < tokens; token += kTokens) {
    kMultiply<Format>[(tokens - token < kTokens ? tokens - token : kTokens) - 1](pass);
    in_group = in_group + kTokens == kRowGroup ? 0 : in_group + kTokens;
    advance(pass, in_group == 0 ? to_next_group : kTokens);
    if (pass.sums != nullptr) pass.sums += kTokens * pass.ld_sums;
    pass.y += kTokens * pass.ldy;
    ++pass.turn;
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
  alignas(64) char unpacked[Format::kPacked ? kPanelBytes : 64];
  alignas(64) float sums[kParkedTokens * kLanes];
  Pass panel = tile;
  panel.ld_sums = kLanes;
  panel.scale_lines = 0;
  // The passes over a panel fetch the next one together.
  panel.stream.ahead = kPanel * Format::kBlockBytes;
  if (from_memory) panel.stream.prefetch(tile.scales, tile.scale_lines);
  for (uint32_t begin = 0; begin < tile.blocks; begin += kPanel) {
    const bool last = tile.blocks - begin <= kPanel;
    panel.blocks = last ? tile.blocks - begin : kPanel;
    panel.scales = tile.scales + begin * Format::kBlockScaleBytes;
    panel.source = panel.weights = tile.weights + begin * Format::kBlockBytes;
    panel.x = tile.x;
    panel.x_scales = tile.x_scales;
    panel.corrections = tile.corrections;
    advance(panel, begin * tile.group);
    panel.sums = begin == 0 ? nullptr : sums;
    panel.y = last ? tile.y : sums;
    panel.ldy = last ? tile.ldy : kLanes;
    panel.accumulate = last && tile.accumulate;
    if (!unpacks) {
      multiply_tokens<Format>(panel, tokens, from_memory);
    } else if constexpr (Format::kPacked) {
      unpack<Format>(panel, unpacked);
      panel.scales = unpacked;
      panel.weights = unpacked + kPanelScales;
      multiply_tokens<Panel<Format>>(panel, tokens, from_memory);
    }
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
  if (args.tokens == 0 || args.blocks == 0 || args.tile_begin == args.tile_end) return;
  const size_t scale_bytes = (args.blocks * kScaleBytes + kLine - 1) / kLine * kLine;
  const char* const first = static_cast<const char*>(args.weights);
  Pass unit{};
  unit.blocks = args.blocks;
  unit.tiles = 1;
  unit.tile_stride = args.tile_stride;
  unit.group = args.x.group;
  unit.group_stride = args.x.group_stride;
  unit.ldy = args.ldy;
  unit.accumulate = args.accumulate != 0;
  unit.scale_lines = static_cast<uint32_t>(scale_bytes / kLine);
  unit.stream.end = first + args.tile_end * args.tile_stride;
  unit.stream.jump = args.next == nullptr ? 0 : static_cast<const char*>(args.next) - unit.stream.end;
  unit.stream.ahead = kAhead;
  const auto at = [&](uint32_t tile, uint32_t token) TESSERA_LAMBDA {
    Pass pass = unit;
    pass.scales = first + tile * args.tile_stride;
    pass.weights = pass.source = pass.scales + scale_bytes;
    pass.x = args.x.values;
    pass.x_scales = args.x.scales;
    pass.corrections = args.x.corrections;
    advance(pass, token / kRowGroup * args.x.group_stride);
    pass.y = args.y + token * args.ldy + (tile - args.tile_begin) * kLanes;
    return pass;
  };
  if (args.tokens <= kTokens) {  // one pass: the weights come and go
    uint32_t tile = args.tile_begin;
#if defined(TESSERA_READS_RUNS)
    if (args.tokens <= sizeof kRuns / sizeof *kRuns) {
      Pass runs = at(tile, 0);
      runs.tiles = (args.tile_end - tile) / kRuns[args.tokens - 1];
      runs.page_ahead = PageAhead::of(runs.scales, runs.tiles * args.tile_stride, args.next);
      kMultiplyRuns<Format>[args.tokens - 1](runs);
      tile += runs.tiles * kRuns[args.tokens - 1];
      const uint32_t rest = args.tile_end - tile;
      if (rest == 0) return;
      if (rest > 1) {
        Pass last = at(tile, 0);
        last.page_ahead = PageAhead::of(last.scales, args.tile_stride, args.next);
        return kMultiplyRest<Format>[args.tokens - 1][rest - 2](last);
      }
    }
#endif
    Pass all = at(tile, 0);
    all.tiles = args.tile_end - tile;
    all.turns = 1;
    return kMultiply<Format>[args.tokens - 1](all);
  }
  const uint32_t block = token_block(args.blocks);
  const uint32_t fitting = static_cast<uint32_t>(kGroupBytes / args.tile_stride);
  const uint32_t group = args.tokens <= block ? args.tile_end - args.tile_begin : fitting < 1 ? 1 : fitting;
  for (uint32_t begin = args.tile_begin; begin < args.tile_end; begin += group) {
    const uint32_t end = args.tile_end - begin < group ? args.tile_end : begin + group;
    for (uint32_t token = 0; token < args.tokens; token += block) {
      const uint32_t tokens = args.tokens - token < block ? args.tokens - token : block;
      for (uint32_t tile = begin; tile < end; ++tile) multiply_tile<Format>(at(tile, token), tokens, token == 0);
    }
  }
}

}  // namespace
}  // namespace tessera::TESSERA_ISA
