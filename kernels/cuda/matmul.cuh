// Packed matrices times rows of activations, for one row (decode) as for hundreds (prefill): one order of every sum.
//
// A block takes two tiles of 16 output rows and some rows of activations, and goes over the units of one node of the
// canonical tree. Each output element has one accumulator in one thread, which takes K in order; so what hides the
// memory's latency is not more threads, but copies: chunks of K of weights and activations travel to shared memory
// several stages ahead, 16 bytes to a copy.
//
//   K →       | chunk 0 | chunk 1 | chunk 2 | …           stage = chunk mod Stages
//   threads   16 lanes x 2 tiles x Slots, each RowsEach rows of activations
//
// The sums of the units of a node are added by the tree as soon as both halves are there; a thread keeps its own stack
// of them in shared memory.
#pragma once

#include "kernels/cuda/numerics.cuh"

namespace tessera::cuda {

constexpr unsigned block_tiles = 2;

struct MatmulArgs {
  const char* weights;
  std::size_t tile_stride, unit_stride;
  std::uint32_t unit_first, tiles, k, rows;
  const char* x;
  const float* x_scales;
  std::size_t x_ld;  // values
  float* y;
  std::size_t ldy, node_stride;
  tessera_tree_node nodes[TESSERA_DEVICE_NODES_MAX];
};

/// How many rows of activations a block takes, and how far ahead it copies.
struct OneRow {
  static constexpr int slots = 1, rows_each = 1, stages = 8;
};
struct FewRows {
  static constexpr int slots = 4, rows_each = 2, stages = 5;
};
struct ManyRows {
  static constexpr int slots = 8, rows_each = 8, stages = 3;
};

// A format says how long its chunks are and multiplies one of them. `weights`: of one tile, [..][16 lanes]; `x`: of the
// thread's rows, x_stride bytes apart; `n`: elements of K in the chunk. `Full` ones have no branch between their loads.

constexpr unsigned x_chunk_bytes = 128;
/// Rows lie 16 bytes further apart than they are long, tiles 64: threads that read at once read other banks.
constexpr unsigned x_stride = x_chunk_bytes + 16;

/// How many steps of a chunk's loop the compiler may have under way: eight rows of one or two fill the registers.
template <int Rows>
constexpr int steps_together = Rows > 2 ? 2 : 8;
template <int Rows>
constexpr int blocks_together = Rows > 2 ? 1 : 4;

struct FormatF32 {
  static constexpr unsigned chunk = 32, weight_bytes = chunk * 64, element_bytes = 4;
  static constexpr unsigned scale_bytes = 0, x_scales = 0;

  template <bool Full, int Rows>
  static __device__ __forceinline__ void multiply(const char* weights, const char*, const char* x, const float*,
                                                  unsigned lane, unsigned n, float (&acc)[Rows]) {
    const auto* const w = reinterpret_cast<const float*>(weights) + lane;
    unsigned i = 0;
    TESSERA_UNROLL_BY(steps_together<Rows>)
    for (unsigned step = 0; step < chunk / 4; ++step) {
      if (!Full && i + 4 > n) break;
      const float w0 = w[i * 16], w1 = w[i * 16 + 16], w2 = w[i * 16 + 32], w3 = w[i * 16 + 48];
      TESSERA_UNROLL
      for (int row = 0; row < Rows; ++row) {
        const float4 v = *reinterpret_cast<const float4*>(x + row * x_stride + i * 4);
        acc[row] = fused(w0, v.x, acc[row]);
        acc[row] = fused(w1, v.y, acc[row]);
        acc[row] = fused(w2, v.z, acc[row]);
        acc[row] = fused(w3, v.w, acc[row]);
      }
      i += 4;
    }
    for (; !Full && i < n; ++i) {
      TESSERA_UNROLL
      for (int row = 0; row < Rows; ++row)
        acc[row] = fused(w[i * 16], reinterpret_cast<const float*>(x + row * x_stride)[i], acc[row]);
    }
  }
};

struct FormatBf16 {
  static constexpr unsigned chunk = 64, weight_bytes = chunk / 2 * 64, element_bytes = 2;
  static constexpr unsigned scale_bytes = 0, x_scales = 0;

  /// The odd column first: the order of exactness.md.
  static __device__ __forceinline__ float multiply_pair(unsigned w, unsigned x, float acc) {
    return fused(widen_low(w), widen_low(x), fused(widen_high(w), widen_high(x), acc));
  }

  template <bool Full, int Rows>
  static __device__ __forceinline__ void multiply(const char* weights, const char*, const char* x, const float*,
                                                  unsigned lane, unsigned n, float (&acc)[Rows]) {
    const auto* const w = reinterpret_cast<const unsigned*>(weights) + lane;
    const unsigned pairs = n / 2;
    unsigned i = 0;
    TESSERA_UNROLL_BY(steps_together<Rows>)
    for (unsigned step = 0; step < chunk / 8; ++step) {
      if (!Full && i + 4 > pairs) break;
      const unsigned w0 = w[i * 16], w1 = w[i * 16 + 16], w2 = w[i * 16 + 32], w3 = w[i * 16 + 48];
      TESSERA_UNROLL
      for (int row = 0; row < Rows; ++row) {
        const uint4 v = *reinterpret_cast<const uint4*>(x + row * x_stride + i * 4);
        acc[row] = multiply_pair(w0, v.x, acc[row]);
        acc[row] = multiply_pair(w1, v.y, acc[row]);
        acc[row] = multiply_pair(w2, v.z, acc[row]);
        acc[row] = multiply_pair(w3, v.w, acc[row]);
      }
      i += 4;
    }
    for (; !Full && i < pairs; ++i) {
      TESSERA_UNROLL
      for (int row = 0; row < Rows; ++row)
        acc[row] = multiply_pair(w[i * 16], reinterpret_cast<const unsigned*>(x + row * x_stride)[i], acc[row]);
    }
  }
};

constexpr unsigned chunk_blocks = 4;

/// q8 and q4 apart from how eight words of a block's weights are made of what is stored.
template <typename Words>
struct FormatBlocks {
  static constexpr unsigned chunk = chunk_blocks * 32, weight_bytes = chunk_blocks * Words::block_bytes;
  static constexpr unsigned element_bytes = 1, scale_bytes = chunk_blocks * 32, x_scales = chunk_blocks;

  template <bool Full, int Rows>
  static __device__ __forceinline__ void multiply(const char* weights, const char* scales, const char* x,
                                                  const float* x_scale, unsigned lane, unsigned n, float (&acc)[Rows]) {
    const unsigned blocks = n / 32;
    TESSERA_UNROLL_BY(blocks_together<Rows>)
    for (unsigned block = 0; block < chunk_blocks; ++block) {
      if (!Full && block >= blocks) break;
      int w[8];
      Words::load(reinterpret_cast<const unsigned*>(weights + block * Words::block_bytes) + lane, w);
      const float scale =
          widen_f16(reinterpret_cast<const unsigned short*>(scales)[block * 16 + lane]) * Words::scale_factor;
      TESSERA_UNROLL
      for (int row = 0; row < Rows; ++row) {
        const auto* const v = reinterpret_cast<const uint4*>(x + row * x_stride + block * 32);
        const uint4 first = v[0], second = v[1];
        int dot = __dp4a(w[0], static_cast<int>(first.x), 0);
        dot = __dp4a(w[1], static_cast<int>(first.y), dot);
        dot = __dp4a(w[2], static_cast<int>(first.z), dot);
        dot = __dp4a(w[3], static_cast<int>(first.w), dot);
        dot = __dp4a(w[4], static_cast<int>(second.x), dot);
        dot = __dp4a(w[5], static_cast<int>(second.y), dot);
        dot = __dp4a(w[6], static_cast<int>(second.z), dot);
        dot = __dp4a(w[7], static_cast<int>(second.w), dot);
        acc[row] = fused(__int2float_rn(dot), scale * x_scale[row * chunk_blocks + block], acc[row]);
      }
    }
  }
};

struct WordsQ8 {
  static constexpr unsigned block_bytes = 512;
  static constexpr float scale_factor = 1.0f;
  /// weight + 128 becomes the weight by its highest bit.
  static __device__ __forceinline__ void load(const unsigned* stored, int (&w)[8]) {
    TESSERA_UNROLL
    for (int i = 0; i < 8; ++i) w[i] = static_cast<int>(stored[i * 16] ^ 0x80808080u);
  }
};

struct WordsQ4 {
  static constexpr unsigned block_bytes = 256;
  static constexpr float scale_factor = 0.0625f;  // sw / 16, exact
  /// A nibble, weight + 8, becomes the byte 16 * weight.
  static __device__ __forceinline__ void load(const unsigned* stored, int (&w)[8]) {
    TESSERA_UNROLL
    for (int i = 0; i < 4; ++i) {
      const unsigned both = stored[i * 16];
      w[i] = static_cast<int>((both << 4 & 0xf0f0f0f0u) ^ 0x80808080u);
      w[i + 4] = static_cast<int>((both & 0xf0f0f0f0u) ^ 0x80808080u);
    }
  }
};

using FormatQ8 = FormatBlocks<WordsQ8>;
using FormatQ4 = FormatBlocks<WordsQ4>;

/// Where the parts of a stage lie in shared memory, in bytes.
template <typename Format, typename Shape>
struct StageLayout {
  static constexpr unsigned threads = 16 * block_tiles * Shape::slots;
  static constexpr unsigned rows = Shape::slots * Shape::rows_each;
  static constexpr unsigned tile_stride = Format::weight_bytes + 64;
  static constexpr unsigned scales = block_tiles * tile_stride;
  static constexpr unsigned x = scales + block_tiles * Format::scale_bytes;
  static constexpr unsigned x_scales = x + rows * x_stride;
  static constexpr unsigned bytes = x_scales + rows * Format::x_scales * 4;
  static constexpr unsigned all_stages = bytes * Shape::stages;
  static_assert(bytes % 16 == 0);
};

/// The canonical tree over [node.begin, node.end) as a stack program: additions after the push of unit `leaf`.
__device__ __forceinline__ unsigned merges_after(tessera_tree_node node, unsigned leaf) {
  unsigned merges = 0;
  while (node.end - node.begin > 1) {
    const unsigned middle = (node.begin + node.end) / 2;
    const bool is_left = leaf < middle;
    merges = is_left ? 0 : merges + 1;
    (is_left ? node.end : node.begin) = middle;
  }
  return merges;
}

/// Copies one chunk of one unit, as far as tiles, rows and K reach.
template <typename Format, typename Shape>
__device__ __forceinline__ void copy_chunk(const MatmulArgs& args, char* stage, unsigned unit, unsigned chunk) {
  using Layout = StageLayout<Format, Shape>;
  const unsigned first_k = chunk * Format::chunk, left = args.k - first_k,
                 n = left < Format::chunk ? left : Format::chunk;
  const unsigned local_unit = unit - args.unit_first;
  const std::size_t scales_bytes = Format::scale_bytes != 0 ? (std::size_t{args.k / 32} * 32 + 63) / 64 * 64 : 0;
  const char* const tiles = args.weights + local_unit * args.unit_stride;

  constexpr unsigned tile_vectors = Format::weight_bytes / 16;
  const unsigned weight_bytes = Format::weight_bytes / Format::chunk * n;
  for (unsigned i = threadIdx.x; i < block_tiles * tile_vectors; i += Layout::threads) {
    const unsigned local = i / tile_vectors, offset = i % tile_vectors * 16, tile = blockIdx.x * block_tiles + local;
    if (tile < args.tiles && offset < weight_bytes)
      copy_async_16(
          stage + local * Layout::tile_stride + offset,
          tiles + tile * args.tile_stride + scales_bytes + std::size_t{chunk} * Format::weight_bytes + offset);
  }
  if constexpr (Format::scale_bytes != 0) {
    constexpr unsigned scale_vectors = Format::scale_bytes / 16;
    for (unsigned i = threadIdx.x; i < block_tiles * scale_vectors; i += Layout::threads) {
      const unsigned local = i / scale_vectors, offset = i % scale_vectors * 16,
                     tile = blockIdx.x * block_tiles + local;
      if (tile < args.tiles && offset < n)  // a block has 32 elements and 32 bytes of scales
        copy_async_16(stage + Layout::scales + local * Format::scale_bytes + offset,
                      tiles + tile * args.tile_stride + std::size_t{chunk} * Format::scale_bytes + offset);
    }
  }
  const std::size_t column = std::size_t{local_unit} * args.k + first_k;
  constexpr unsigned row_vectors = x_chunk_bytes / 16;
  for (unsigned i = threadIdx.x; i < Layout::rows * row_vectors; i += Layout::threads) {
    const unsigned local = i / row_vectors, offset = i % row_vectors * 16, row = blockIdx.y * Layout::rows + local;
    if (row < args.rows && offset < n * Format::element_bytes)
      copy_async_16(stage + Layout::x + local * x_stride + offset,
                    args.x + (row * args.x_ld + column) * Format::element_bytes + offset);
  }
  if constexpr (Format::x_scales != 0) {
    for (unsigned i = threadIdx.x; i < Layout::rows * chunk_blocks; i += Layout::threads) {
      const unsigned local = i / chunk_blocks, block = i % chunk_blocks, row = blockIdx.y * Layout::rows + local;
      if (row < args.rows && block * 32 < n)
        copy_async_4(stage + Layout::x_scales + (local * chunk_blocks + block) * 4,
                     args.x_scales + row * (args.x_ld / 32) + column / 32 + block);
    }
  }
}

template <typename Format, typename Shape>
__global__ void __launch_bounds__(StageLayout<Format, Shape>::threads)
    matmul_kernel(const __grid_constant__ MatmulArgs args) {
  using Layout = StageLayout<Format, Shape>;
  constexpr int stages = Shape::stages, rows_each = Shape::rows_each;
  TESSERA_DYNAMIC_SHARED(shared);
  // [entry][row][thread]
  float* const stack = reinterpret_cast<float*>(shared + Layout::all_stages) + threadIdx.x;

  const unsigned lane = threadIdx.x % 16, tile = threadIdx.x / 16 % block_tiles,
                 first_row = threadIdx.x / (16 * block_tiles) * rows_each;
  const tessera_tree_node node = args.nodes[blockIdx.z];
  const unsigned chunks = (args.k + Format::chunk - 1) / Format::chunk, total = (node.end - node.begin) * chunks;
  unsigned copied_unit = node.begin, copied_chunk = 0, copied = 0;
  const auto copy_next = [&] {
    if (copied < total)
      copy_chunk<Format, Shape>(args, shared + copied % stages * Layout::bytes, copied_unit, copied_chunk);
    commit_copies();
    ++copied;
    if (++copied_chunk == chunks) {
      copied_chunk = 0;
      ++copied_unit;
    }
  };
  for (int i = 0; i < stages - 1; ++i) copy_next();

  float acc[rows_each] = {};
  unsigned unit = node.begin, chunk = 0, height = 0;
  for (unsigned step = 0; step < total; ++step) {
    wait_copies<stages - 2>();
    __syncthreads();  // the others' copies are here, and nobody reads the stage that is filled next
    copy_next();
    const char* const stage = shared + step % stages * Layout::bytes;
    const char* const weights = stage + tile * Layout::tile_stride;
    const char* const scales = stage + Layout::scales + tile * Format::scale_bytes;
    const char* const x = stage + Layout::x + first_row * x_stride;
    const auto* const x_scales =
        reinterpret_cast<const float*>(stage + Layout::x_scales) + first_row * Format::x_scales;
    const unsigned left = args.k - chunk * Format::chunk;
    if (left >= Format::chunk) {
      Format::template multiply<true>(weights, scales, x, x_scales, lane, Format::chunk, acc);
    } else {
      Format::template multiply<false>(weights, scales, x, x_scales, lane, left, acc);
    }
    if (++chunk < chunks) continue;
    chunk = 0;
    for (unsigned merges = merges_after(node, unit); merges > 0; --merges) {
      --height;
      TESSERA_UNROLL
      for (int row = 0; row < rows_each; ++row)
        acc[row] = stack[(height * rows_each + row) * Layout::threads] + acc[row];
    }
    if (++unit == node.end) break;
    TESSERA_UNROLL
    for (int row = 0; row < rows_each; ++row) {
      stack[(height * rows_each + row) * Layout::threads] = acc[row];
      acc[row] = 0.0f;
    }
    ++height;
  }

  const unsigned out_tile = blockIdx.x * block_tiles + tile;
  if (out_tile >= args.tiles) return;
  TESSERA_UNROLL
  for (int i = 0; i < rows_each; ++i) {
    const unsigned row = blockIdx.y * Layout::rows + first_row + i;
    if (row < args.rows) args.y[blockIdx.z * args.node_stride + row * args.ldy + out_tile * 16 + lane] = acc[i];
  }
}

template <typename Format, typename Shape>
std::int32_t launch_matmul(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries) {
  using Layout = StageLayout<Format, Shape>;
  LaunchShape shape;
  shape.grid = {divide_up(args.tiles, block_tiles), divide_up(args.rows, Layout::rows), nodes};
  shape.threads = Layout::threads;
  shape.shared_bytes = Layout::all_stages + entries * Shape::rows_each * Layout::threads * 4;
  return launch(queue, "matmul", matmul_kernel<Format, Shape>, shape, args);
}

/// `entries`: of the stack, for the node with the most units.
template <typename Format>
std::int32_t launch_matmul_of(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries) {
  if (args.rows == 1) return launch_matmul<Format, OneRow>(queue, args, nodes, entries);
  if (args.rows <= 8) return launch_matmul<Format, FewRows>(queue, args, nodes, entries);
  return launch_matmul<Format, ManyRows>(queue, args, nodes, entries);
}

// One source for each pair of formats: they are compiled side by side.
std::int32_t launch_matmul_f32(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries);
std::int32_t launch_matmul_bf16(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries);
std::int32_t launch_matmul_q8(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries);
std::int32_t launch_matmul_q4(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries);

}  // namespace tessera::cuda
