// What is done to whole rows: residual and norm, the forms of activations, SwiGLU, rows of the embedding.
#include "kernels/cuda/ops.hpp"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {

namespace {

/// Floats of a row that lie in shared memory at once while its lanes are summed.
constexpr unsigned staged = 4096;
static_assert(staged % (4 * row_threads) == 0);

struct FinishNormArgs {
  float* x;
  std::size_t ldx;
  unsigned n;
  const float* nodes;
  std::size_t node_stride, node_ld;
  unsigned node_count;
  const float* weight;
  const float* bias;
  float eps;
  unsigned format;
  tessera_device_rows out;
  std::uint8_t merges_after[TESSERA_DEVICE_NODES_MAX];
};

__device__ __forceinline__ float4 sum(float4 a, float4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

/// x = x + the sum of the nodes. Each thread takes the elements that it reads again in the norm. `stack`: of this
/// thread, [entry][row_threads].
__device__ void add_nodes(const FinishNormArgs& args, float* x, std::size_t row, float4* stack) {
  for (unsigned i = 4 * threadIdx.x; i < args.n; i += 4 * row_threads) {
    const float* const first = args.nodes + row * args.node_ld + i;
    float4 acc = *reinterpret_cast<const float4*>(first);
    unsigned height = 0;
    for (unsigned node = 0; node < args.node_count; ++node) {
      float4 next = acc;  // on its way while the additions are made
      if (node + 1 < args.node_count) next = *reinterpret_cast<const float4*>(first + (node + 1) * args.node_stride);
      for (unsigned merges = args.merges_after[node]; merges > 0; --merges)
        acc = sum(stack[--height * row_threads], acc);
      if (node + 1 == args.node_count) break;
      stack[height++ * row_threads] = acc;
      acc = next;
    }
    auto* const place = reinterpret_cast<float4*>(x + i);
    *place = sum(*place, acc);
  }
}

/// A contiguous reduction over the row, element i in lane i mod 16: of value(x[i]), or of its square. For all threads.
template <bool Squares, typename Value>
__device__ __forceinline__ float reduce_row(const float* x, unsigned n, float* stage, float* result, Value value) {
  float lane = 0.0f;
  for (unsigned begin = 0; begin < n; begin += staged) {
    const unsigned count = n - begin < staged ? n - begin : staged;
    for (unsigned i = 4 * threadIdx.x; i < count; i += 4 * row_threads)
      *reinterpret_cast<float4*>(stage + i) = load_four(x, begin + i, n);
    __syncthreads();
    if (threadIdx.x < 32) {
      TESSERA_UNROLL_BY(8)
      for (unsigned i = threadIdx.x % 16; i < count; i += 16) {
        const float v = value(stage[i]);
        lane = Squares ? fused(v, v, lane) : lane + v;
      }
    }
    __syncthreads();
  }
  if (threadIdx.x < 32) {
    const float folded = fold_lanes(lane);
    if (threadIdx.x == 0) *result = folded;
  }
  __syncthreads();
  return *result;
}

__global__ void __launch_bounds__(row_threads) finish_norm_kernel(const __grid_constant__ FinishNormArgs args) {
  TESSERA_DYNAMIC_SHARED(stack);
  TESSERA_SHARED(float, stage, staged);
  TESSERA_SHARED(float, results, 2);
  const std::size_t row = blockIdx.x;
  float* const x = args.x + row * args.ldx;
  if (args.nodes != nullptr) add_nodes(args, x, row, reinterpret_cast<float4*>(stack) + threadIdx.x);
  if (args.weight == nullptr) return;

  const bool layer_norm = args.bias != nullptr;
  float mean = 0.0f;
  if (layer_norm) {
    const float total = reduce_row<false>(x, args.n, stage, results, [](float v) { return v; });
    mean = __fdiv_rn(total, static_cast<float>(args.n));
  }
  const float squares = layer_norm
                            ? reduce_row<true>(x, args.n, stage, results + 1, [mean](float v) { return v - mean; })
                            : reduce_row<true>(x, args.n, stage, results + 1, [](float v) { return v; });
  const float r = norm_factor(squares, args.n, args.eps);
  const auto normed = [&](float v, float weight, float bias) {
    return layer_norm ? fused((v - mean) * r, weight, bias) : (v * r) * weight;
  };
  for (unsigned begin = 0; begin < args.n; begin += 4 * row_threads) {
    const unsigned i = begin + 4 * threadIdx.x;
    const float4 v = load_four(x, i, args.n), w = load_four(args.weight, i, args.n);
    const float4 b = layer_norm ? load_four(args.bias, i, args.n) : float4{0.0f, 0.0f, 0.0f, 0.0f};
    float4 y{normed(v.x, w.x, b.x), normed(v.y, w.y, b.y), normed(v.z, w.z, b.z), normed(v.w, w.w, b.w)};
    // Beyond the row: zero, whatever the formula makes of zeros.
    if (i >= args.n) y.x = 0.0f;
    if (i + 1 >= args.n) y.y = 0.0f;
    if (i + 2 >= args.n) y.z = 0.0f;
    if (i + 3 >= args.n) y.w = 0.0f;
    store_four(args.format, args.out, row, i, args.n, y);
  }
}

struct PlainRows {
  const float* x;
  std::size_t ld;
  __device__ __forceinline__ float4 four(std::size_t row, unsigned i, unsigned n) const {
    return load_four(x + row * ld, i, n);
  }
};

struct GatedRows {
  const float* gate;
  const float* up;
  std::size_t ld;
  __device__ __forceinline__ float4 four(std::size_t row, unsigned i, unsigned n) const {
    const float4 g = load_four(gate + row * ld, i, n), u = load_four(up + row * ld, i, n);
    const auto gated = [](float a, float b) { return __fdiv_rn(a, 1.0f + exp_one(0.0f - a)) * b; };
    return {gated(g.x, u.x), gated(g.y, u.y), gated(g.z, u.z), gated(g.w, u.w)};
  }
};

template <typename Source>
struct RowsArgs {
  Source source;
  unsigned n, format;
  tessera_device_rows out;
};

template <typename Source>
__global__ void __launch_bounds__(row_threads) rows_kernel(const __grid_constant__ RowsArgs<Source> args) {
  const unsigned i = (blockIdx.x * row_threads + threadIdx.x) * 4;
  store_four(args.format, args.out, blockIdx.y, i, args.n, args.source.four(blockIdx.y, i, args.n));
}

template <typename Source>
std::int32_t launch_rows(tessera_device_queue* queue, const char* name, const RowsArgs<Source>& args, unsigned rows) {
  if (rows == 0 || args.n == 0) return TESSERA_DEVICE_OK;
  LaunchShape shape;
  shape.grid = {divide_up(args.n, 4 * row_threads), rows, 1};
  shape.threads = row_threads;
  return launch(queue, name, rows_kernel<Source>, shape, args);
}

/// Column i of output row `lane` of a tile, as unpack_row of the CPU's modules gives it.
__device__ __forceinline__ float unpack(unsigned format, const char* tile, unsigned lane, unsigned k, unsigned i) {
  if (format == TESSERA_WEIGHTS_F32) return reinterpret_cast<const float*>(tile)[std::size_t{i} * 16 + lane];
  if (format == TESSERA_WEIGHTS_BF16)
    return widen_low(reinterpret_cast<const unsigned short*>(tile)[(std::size_t{i} / 2 * 16 + lane) * 2 + i % 2]);
  const unsigned blocks = (k + 31) / 32, block = i / 32, column = i % 32;
  const float scale = widen_f16(reinterpret_cast<const unsigned short*>(tile)[block * 16 + lane]);
  const auto* const weights = reinterpret_cast<const unsigned char*>(tile) + (std::size_t{blocks} * 32 + 63) / 64 * 64;
  if (format == TESSERA_WEIGHTS_Q8) {
    const int w = weights[std::size_t{block} * 512 + (column / 4 * 16 + lane) * 4 + column % 4];
    return __int2float_rn(w - 128) * scale;
  }
  const int both = weights[std::size_t{block} * 256 + (column % 16 / 4 * 16 + lane) * 4 + column % 4];
  return __int2float_rn((column < 16 ? both & 15 : both >> 4) - 8) * scale;
}

__global__ void __launch_bounds__(row_threads)
    embedding_kernel(const __grid_constant__ tessera_device_embedding_args args) {
  const unsigned i = blockIdx.x * row_threads + threadIdx.x, row = blockIdx.y;
  if (i >= args.k) return;
  const unsigned token = args.tokens[row];
  float value = __uint_as_float(0x7fc00000u);
  if (token < args.vocabulary) {
    const char* const tile = static_cast<const char*>(args.weights) + token / 16 * args.tile_stride;
    value = unpack(args.format, tile, token % 16, args.k, i);
  }
  args.out[row * args.ld + i] = value;
}

}  // namespace

std::int32_t finish_norm(tessera_device_queue* queue, const tessera_device_finish_norm_args* a) {
  TESSERA_DEVICE_REQUIRE(queue, "finish_norm", aligned(a->x) && a->ldx % 4 == 0 && a->ldx >= a->n,
                         "x must be aligned, its rows a multiple of 4 floats and at least %u long", a->n);
  if (a->nodes != nullptr) {
    TESSERA_DEVICE_REQUIRE(queue, "finish_norm", a->node_count >= 1 && a->node_count <= TESSERA_DEVICE_NODES_MAX,
                           "%u nodes; 1 to %d are possible", a->node_count, TESSERA_DEVICE_NODES_MAX);
    TESSERA_DEVICE_REQUIRE(queue, "finish_norm",
                           aligned(a->nodes) && a->node_stride % 4 == 0 && a->node_ld % 4 == 0 && a->node_ld >= a->n,
                           "nodes must be aligned, their strides multiples of 4 floats");
  }
  if (a->weight != nullptr) {
    TESSERA_DEVICE_REQUIRE(queue, "finish_norm",
                           a->n >= 1 && aligned(a->weight) && aligned(a->bias) && fits(a->format, a->out, a->n),
                           "weight, bias or the rows of the result are not aligned or too short");
  }
  if (a->rows == 0) return TESSERA_DEVICE_OK;
  FinishNormArgs args{};
  args.x = a->x;
  args.ldx = a->ldx;
  args.n = a->n;
  args.weight = a->weight;
  args.bias = a->bias;
  args.eps = a->eps;
  args.format = a->format;
  args.out = a->out;
  unsigned height = 0, entries = 0;
  if (a->nodes != nullptr) {
    args.nodes = a->nodes;
    args.node_stride = a->node_stride;
    args.node_ld = a->node_ld;
    args.node_count = a->node_count;
    for (unsigned i = 0; i < a->node_count; ++i) {
      TESSERA_DEVICE_REQUIRE(queue, "finish_norm", a->merges_after[i] <= height, "node %u is merged with nothing", i);
      args.merges_after[i] = a->merges_after[i];
      height -= a->merges_after[i];
      if (i + 1 < a->node_count) ++height;
      entries = height > entries ? height : entries;
    }
    TESSERA_DEVICE_REQUIRE(queue, "finish_norm", height == 0, "%u sums are left beside the root", height);
    TESSERA_DEVICE_REQUIRE(queue, "finish_norm", entries <= 12, "a stack of %u sums; 12 are possible", entries);
  }
  LaunchShape shape;
  shape.grid = {a->rows, 1, 1};
  shape.threads = row_threads;
  shape.shared_bytes = std::size_t{entries} * row_threads * sizeof(float4);
  return launch(queue, "finish_norm", finish_norm_kernel, shape, args);
}

std::int32_t prepare(tessera_device_queue* queue, const tessera_device_prepare_args* a) {
  TESSERA_DEVICE_REQUIRE(
      queue, "prepare",
      aligned(a->x) && a->ldx % 4 == 0 && a->ldx >= a->k && a->rows <= 65535 && fits(a->format, a->out, a->k),
      "rows of x or of the result are not aligned, too short or too many");
  return launch_rows<PlainRows>(queue, "prepare", {{a->x, a->ldx}, a->k, static_cast<unsigned>(a->format), a->out},
                                a->rows);
}

std::int32_t swiglu(tessera_device_queue* queue, const tessera_device_swiglu_args* a) {
  TESSERA_DEVICE_REQUIRE(queue, "swiglu",
                         aligned(a->gate) && aligned(a->up) && a->ld % 4 == 0 && a->ld >= a->n && a->rows <= 65535 &&
                             fits(a->format, a->out, a->n),
                         "rows of gate, up or the result are not aligned, too short or too many");
  return launch_rows<GatedRows>(queue, "swiglu",
                                {{a->gate, a->up, a->ld}, a->n, static_cast<unsigned>(a->format), a->out}, a->rows);
}

std::int32_t embedding(tessera_device_queue* queue, const tessera_device_embedding_args* a) {
  TESSERA_DEVICE_REQUIRE(queue, "embedding",
                         a->format <= TESSERA_WEIGHTS_Q4 && aligned(a->weights) &&
                             a->tile_stride % TESSERA_DEVICE_ALIGNMENT == 0 && a->ld >= a->k && a->rows <= 65535,
                         "weights are not aligned, or rows of the result too short or too many");
  if (a->rows == 0 || a->k == 0) return TESSERA_DEVICE_OK;
  LaunchShape shape;
  shape.grid = {divide_up(a->k, row_threads), a->rows, 1};
  shape.threads = row_threads;
  return launch(queue, "embedding", embedding_kernel, shape, *a);
}

}  // namespace tessera::cuda
