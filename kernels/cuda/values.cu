// The pieces of a softmax over the vocabulary, and operations on single elements.
#include "kernels/cuda/ops.hpp"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {

namespace {

constexpr unsigned sum_threads = 128, slices_per_block = sum_threads / TESSERA_LANES;

__global__ void __launch_bounds__(row_threads) row_max_kernel(const __grid_constant__ tessera_device_logits_args args) {
  TESSERA_SHARED(float, of_warps, row_threads / 32);
  const float* const x = args.x + blockIdx.x * args.ld;
  float m = x[0];
  for (unsigned i = 4 * threadIdx.x; i < args.n; i += 4 * row_threads) {
    if (i + 4 > args.n) {
      for (unsigned j = i; j < args.n; ++j) m = x[j] > m ? x[j] : m;
      break;
    }
    const float4 v = *reinterpret_cast<const float4*>(x + i);
    const float left = v.x > v.y ? v.x : v.y, right = v.z > v.w ? v.z : v.w, four = left > right ? left : right;
    m = four > m ? four : m;
  }
  TESSERA_UNROLL
  for (int distance = 16; distance > 0; distance /= 2) {
    const float other = __shfl_xor_sync(all_lanes, m, distance);
    m = other > m ? other : m;
  }
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = m;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned i = 1; i < row_threads / 32; ++i) m = of_warps[i] > m ? of_warps[i] : m;
  args.maxima[blockIdx.x] = m + 0.0f;  // -0 and denormals become +0: which of several zeros was found does not show
}

/// Sixteen threads to a slice: lane i takes the elements i mod 16, in order.
__global__ void __launch_bounds__(sum_threads)
    exp_sums_kernel(const __grid_constant__ tessera_device_logits_args args) {
  const unsigned slices = (args.n + args.slice - 1) / args.slice;
  const unsigned slice = blockIdx.x * slices_per_block + threadIdx.x / TESSERA_LANES,
                 lane = threadIdx.x % TESSERA_LANES;
  const float shift = args.shifts[blockIdx.y];
  float sum = 0.0f;
  if (slice < slices) {
    const unsigned begin = slice * args.slice, left = args.n - begin, count = left < args.slice ? left : args.slice;
    const float* const x = args.x + blockIdx.y * args.ld + begin;
    TESSERA_UNROLL_BY(4)
    for (unsigned i = lane; i < count; i += TESSERA_LANES) sum = sum + exp_one(x[i] - shift);
  }
  sum = fold_lanes(sum);
  if (slice < slices && lane == 0) args.sums[std::size_t{blockIdx.y} * slices + slice] = sum;
}

__device__ __forceinline__ float apply(const tessera_device_elementwise_args& args, float a, float b, float out) {
  switch (args.op) {
    case TESSERA_DEVICE_ADD:
      return a + b;
    case TESSERA_DEVICE_MUL:
      return a * b;
    case TESSERA_DEVICE_SCALE:
      return a * args.factor;
    case TESSERA_DEVICE_ADD_SCALED:
      return fused(a, args.factor, out);
    case TESSERA_DEVICE_SOFT_CAP:
      return tanh_one(__fdiv_rn(a, args.factor)) * args.factor;
    case TESSERA_DEVICE_GELU_TANH: {
      const float u = a * fused(a * a, 0.0713548163f, 1.59576912f);
      return __fdiv_rn(a, 1.0f + exp_one(0.0f - u));
    }
    case TESSERA_DEVICE_GELU_ERF:
      return (a * 0.5f) * (1.0f + erf_one(a * 0.707106781f));
    case TESSERA_DEVICE_EXP:
      return exp_one(a);
  }
  return a;
}

__global__ void __launch_bounds__(row_threads)
    elementwise_kernel(const __grid_constant__ tessera_device_elementwise_args args) {
  const unsigned i = blockIdx.x * row_threads + threadIdx.x;
  if (i >= args.n) return;
  const std::size_t row = blockIdx.y;
  float* const out = args.out + row * args.out_ld + i;
  const float b = args.b != nullptr ? args.b[row * args.b_ld + i] : 0.0f;
  *out = apply(args, args.a[row * args.a_ld + i], b, args.op == TESSERA_DEVICE_ADD_SCALED ? *out : 0.0f);
}

}  // namespace

std::int32_t logits(tessera_device_queue* queue, const tessera_device_logits_args* a) {
  TESSERA_DEVICE_REQUIRE(queue, "logits", a->n >= 1 && a->slice >= 1 && a->rows <= 65535,
                         "%u logits in slices of %u, %u rows", a->n, a->slice, a->rows);
  TESSERA_DEVICE_REQUIRE(queue, "logits", aligned(a->x) && a->ld % 4 == 0 && a->ld >= a->n,
                         "rows must be aligned, a multiple of 4 floats and at least %u long", a->n);
  TESSERA_DEVICE_REQUIRE(queue, "logits", a->sums == nullptr || a->shifts != nullptr, "sums need shifts");
  if (a->rows == 0) return TESSERA_DEVICE_OK;
  if (a->maxima != nullptr) {
    LaunchShape shape;
    shape.grid = {a->rows, 1, 1};
    shape.threads = row_threads;
    const std::int32_t status = launch(queue, "row_max", row_max_kernel, shape, *a);
    if (status != TESSERA_DEVICE_OK) return status;
  }
  if (a->sums == nullptr) return TESSERA_DEVICE_OK;
  LaunchShape shape;
  shape.grid = {divide_up(divide_up(a->n, a->slice), slices_per_block), a->rows, 1};
  shape.threads = sum_threads;
  return launch(queue, "exp_sums", exp_sums_kernel, shape, *a);
}

std::int32_t elementwise(tessera_device_queue* queue, const tessera_device_elementwise_args* a) {
  const bool binary = a->op == TESSERA_DEVICE_ADD || a->op == TESSERA_DEVICE_MUL;
  TESSERA_DEVICE_REQUIRE(queue, "elementwise", a->op <= TESSERA_DEVICE_EXP && binary == (a->b != nullptr),
                         "operation %d with%s a second operand", static_cast<int>(a->op), a->b != nullptr ? "" : "out");
  TESSERA_DEVICE_REQUIRE(queue, "elementwise",
                         a->rows <= 65535 && a->a_ld >= a->n && a->out_ld >= a->n && (a->b_ld == 0 || a->b_ld >= a->n),
                         "rows too short or too many");
  if (a->rows == 0 || a->n == 0) return TESSERA_DEVICE_OK;
  LaunchShape shape;
  shape.grid = {divide_up(a->n, row_threads), a->rows, 1};
  shape.threads = row_threads;
  return launch(queue, "elementwise", elementwise_kernel, shape, *a);
}

}  // namespace tessera::cuda
