// RoPE with the write of keys and values into their pages, and attention over the pages, split by runs of 128 absolute
// positions.
//
//   attention_runs   a block for each (run, KV head, row): softmax and sum of values of one run, for all query heads of
//                    the group, so that keys and values are read once
//   attention_fold   a block for each (head, row): folds the runs in order
#include "kernels/cuda/numerics.cuh"
#include "kernels/cuda/ops.hpp"

namespace tessera::cuda {

namespace {

constexpr unsigned run = TESSERA_SOFTMAX_RUN, threads = 128, warps = threads / 32;
/// Query heads that one block takes, and positions whose keys or values lie in shared memory at once.
constexpr unsigned block_heads = 8, staged_positions = 32, group_positions = 16;
static_assert(TESSERA_DEVICE_HEAD_DIM_MAX <= 2 * threads);

__device__ __forceinline__ float* head_of(const tessera_device_heads& heads, std::size_t row, unsigned head,
                                          unsigned head_dim) {
  return heads.values + row * heads.ld + head / heads.slice_heads * heads.slice_stride +
         head % heads.slice_heads * head_dim;
}

/// Bytes of the row of `position` within a page, and the page's place in the cache of one head.
__device__ __forceinline__ std::size_t page_of(const tessera_device_batch& batch, const tessera_device_kv& kv,
                                               unsigned sequence, unsigned position) {
  return batch.page_table[sequence * batch.pages_max + position / kv.page_positions] * kv.page_stride +
         std::size_t{position % kv.page_positions} * kv.head_dim * (kv.bf16 != 0 ? 2 : 4);
}

__global__ void __launch_bounds__(threads) rope_kv_kernel(const __grid_constant__ tessera_device_rope_kv_args args) {
  const unsigned row = blockIdx.y, head_dim = args.kv.head_dim, half = args.half;
  const float* const cos = args.cos + std::size_t{row} * half;
  const float* const sin = args.sin + std::size_t{row} * half;
  // exactness.md, "RoPE": element i of a head after the rotation.
  const auto rotated = [&](const float* x, unsigned i) {
    if (i < half) return fused(-x[i + half], sin[i], x[i] * cos[i]);
    if (i < 2 * half) return fused(x[i - half], sin[i - half], x[i] * cos[i - half]);
    return x[i];
  };
  if (blockIdx.x < args.q.count) {
    float* const x = head_of(args.q, row, blockIdx.x, head_dim);
    for (unsigned i = threadIdx.x; i < half; i += threads) {
      const float first = rotated(x, i), second = rotated(x, i + half);
      x[i] = first;
      x[i + half] = second;
    }
    return;
  }
  const unsigned head = blockIdx.x - args.q.count;
  const std::size_t place =
      head * args.kv.head_stride + page_of(args.batch, args.kv, args.batch.sequences[row], args.batch.positions[row]);
  const float* const k = head_of(args.k, row, head, head_dim);
  const float* const v = head_of(args.v, row, head, head_dim);
  char* const k_place = static_cast<char*>(args.kv.k) + place;
  char* const v_place = static_cast<char*>(args.kv.v) + place;
  for (unsigned i = threadIdx.x; i < head_dim; i += threads) {
    if (args.kv.bf16 != 0) {
      reinterpret_cast<unsigned short*>(k_place)[i] = static_cast<unsigned short>(narrow_bf16(rotated(k, i)));
      reinterpret_cast<unsigned short*>(v_place)[i] = static_cast<unsigned short>(narrow_bf16(v[i]));
    } else {
      reinterpret_cast<float*>(k_place)[i] = rotated(k, i);
      reinterpret_cast<float*>(v_place)[i] = v[i];
    }
  }
}

struct AttentionArgs {
  tessera_device_attention_args a;
  unsigned runs;          // of the longest sequence
  unsigned group_splits;  // blocks to a KV head
  float* run_sums;        // [rows][heads][runs][2]: maximum, sum of exponentials
  float* run_values;      // [rows][heads][runs][head_dim]
};

/// The positions that a row sees.
struct Visible {
  unsigned begin, end;
};
__device__ __forceinline__ Visible visible_to(const tessera_device_attention_args& a, unsigned row) {
  const unsigned length = a.lengths != nullptr ? a.lengths[row] : a.batch.positions[row] + 1;
  return {a.window != 0 && a.window < length ? length - a.window : 0, length};
}

__device__ __forceinline__ std::size_t run_index(const AttentionArgs& args, std::size_t row, unsigned head,
                                                 unsigned number) {
  return (row * args.a.q.count + head) * args.runs + number;
}

/// Keys or values in shared memory: rows 16 bytes further apart than they are long, where that keeps them aligned.
template <typename Element>
__device__ __forceinline__ unsigned staged_stride(unsigned head_dim) {
  const unsigned bytes = head_dim * static_cast<unsigned>(sizeof(Element));
  return bytes % 16 == 0 ? bytes + 16 : bytes;
}

/// Copies the rows of positions first .. first + 31 as far as they belong to a group of 16 that is visible. Such a
/// group lies in one page, one row after the other, and is a multiple of 32 bytes for every width of head.
template <typename Element>
__device__ __forceinline__ void stage_positions(const tessera_device_attention_args& a, const char* base,
                                                unsigned sequence, unsigned first, Visible seen, char* stage) {
  const unsigned row_bytes = a.kv.head_dim * static_cast<unsigned>(sizeof(Element));
  const unsigned stride = staged_stride<Element>(a.kv.head_dim), vectors = row_bytes;  // 16 rows in vectors of 16 bytes
  for (unsigned i = threadIdx.x; i < staged_positions / group_positions * vectors; i += threads) {
    const unsigned group = i / vectors, offset = i % vectors * 16, position = first + group * group_positions;
    if (position >= seen.end || position + group_positions <= seen.begin) continue;
    char* const rows = stage + group * group_positions * stride;
    char* const to = stride == row_bytes ? rows + offset : rows + offset / row_bytes * stride + offset % row_bytes;
    copy_async_16(to, base + page_of(a.batch, a.kv, sequence, position) + offset);
  }
  commit_copies();
  wait_copies<0>();
  __syncthreads();
}

__device__ __forceinline__ float element(const float* row, unsigned i) { return row[i]; }
__device__ __forceinline__ float element(const unsigned short* row, unsigned i) { return widen_low(row[i]); }

/// Sixteen elements, one to a lane of the reduction.
__device__ __forceinline__ void add_products(const float* q, const float* k, float (&lanes)[16]) {
  TESSERA_UNROLL
  for (unsigned i = 0; i < 16; i += 4) {
    const float4 a = *reinterpret_cast<const float4*>(q + i), b = *reinterpret_cast<const float4*>(k + i);
    lanes[i] = fused(a.x, b.x, lanes[i]);
    lanes[i + 1] = fused(a.y, b.y, lanes[i + 1]);
    lanes[i + 2] = fused(a.z, b.z, lanes[i + 2]);
    lanes[i + 3] = fused(a.w, b.w, lanes[i + 3]);
  }
}
__device__ __forceinline__ void add_products(const float* q, const unsigned short* k, float (&lanes)[16]) {
  TESSERA_UNROLL
  for (unsigned i = 0; i < 16; i += 8) {
    const float4 a = *reinterpret_cast<const float4*>(q + i), b = *reinterpret_cast<const float4*>(q + i + 4);
    const uint4 v = *reinterpret_cast<const uint4*>(k + i);
    lanes[i] = fused(a.x, widen_low(v.x), lanes[i]);
    lanes[i + 1] = fused(a.y, widen_high(v.x), lanes[i + 1]);
    lanes[i + 2] = fused(a.z, widen_low(v.y), lanes[i + 2]);
    lanes[i + 3] = fused(a.w, widen_high(v.y), lanes[i + 3]);
    lanes[i + 4] = fused(b.x, widen_low(v.z), lanes[i + 4]);
    lanes[i + 5] = fused(b.y, widen_high(v.z), lanes[i + 5]);
    lanes[i + 6] = fused(b.z, widen_low(v.w), lanes[i + 6]);
    lanes[i + 7] = fused(b.w, widen_high(v.w), lanes[i + 7]);
  }
}

/// q·k, a contiguous reduction whose 16 lanes are the thread's own registers.
template <typename Element>
__device__ __forceinline__ float dot(const float* q, const Element* k, unsigned head_dim) {
  float lanes[16] = {};
  unsigned begin = 0;
  // Only rows of whole vectors are aligned in shared memory.
  if (head_dim % 16 == 0) {
    for (; begin < head_dim; begin += 16) add_products(q + begin, k + begin, lanes);
  }
  for (; begin < head_dim; begin += 16) {
    TESSERA_UNROLL
    for (unsigned i = 0; i < 16; ++i)
      if (begin + i < head_dim) lanes[i] = fused(q[begin + i], element(k, begin + i), lanes[i]);
  }
  // The four folds, with indices that the compiler knows: else the lanes would lie in memory.
  TESSERA_UNROLL
  for (unsigned i = 0; i < 8; ++i) lanes[i] = lanes[i] + lanes[i + 8];
  TESSERA_UNROLL
  for (unsigned i = 0; i < 4; ++i) lanes[i] = lanes[i] + lanes[i + 4];
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

/// Scores of one head in one run become exponentials; lane 0 writes their maximum and sum. A warp.
__device__ __forceinline__ void softmax_of_run(float* scores, Visible seen, unsigned run_begin, float* sums) {
  const unsigned lane = threadIdx.x % 32, begin = seen.begin > run_begin ? seen.begin - run_begin : 0;
  const unsigned end = seen.end - run_begin < run ? seen.end - run_begin : run;
  float m = scores[begin];
  for (unsigned i = lane; i < end; i += 32)
    if (i >= begin) m = scores[i] > m ? scores[i] : m;
  TESSERA_UNROLL
  for (int distance = 16; distance > 0; distance /= 2) {
    const float other = __shfl_xor_sync(all_lanes, m, distance);
    m = other > m ? other : m;
  }
  __syncwarp();
  for (unsigned i = lane; i < end; i += 32)
    if (i >= begin) scores[i] = exp_one(scores[i] - m);
  __syncwarp();
  float sum = 0.0f;
  for (unsigned i = lane % 16; i < end; i += 16)
    if (i >= begin) sum = sum + scores[i];
  sum = fold_lanes(sum);
  if (lane == 0) {
    sums[0] = m;
    sums[1] = sum;
  }
}

template <typename Element>
__global__ void __launch_bounds__(threads) attention_runs_kernel(const __grid_constant__ AttentionArgs args) {
  TESSERA_DYNAMIC_SHARED(shared);
  const tessera_device_attention_args& a = args.a;
  const unsigned row = blockIdx.z, head_dim = a.kv.head_dim, run_begin = blockIdx.x * run;
  const Visible seen = visible_to(a, row);
  if (run_begin >= seen.end || run_begin + run <= seen.begin) return;
  // The query heads of this block, as numbers in the model and then in `q`.
  const unsigned kv_head = blockIdx.y / args.group_splits, of_model = a.kv_head_first + kv_head;
  unsigned begin = of_model * a.group + blockIdx.y % args.group_splits * block_heads, end = begin + block_heads;
  if (end > (of_model + 1) * a.group) end = (of_model + 1) * a.group;
  if (end > a.head_first + a.q.count) end = a.head_first + a.q.count;
  if (begin < a.head_first) begin = a.head_first;
  if (begin >= end) return;
  const unsigned heads = end - begin, first_head = begin - a.head_first;

  auto* const q = reinterpret_cast<float*>(shared);                // [heads][head_dim]
  float* const scores = q + (block_heads * head_dim + 3) / 4 * 4;  // [heads][run]
  char* const stage = reinterpret_cast<char*>(scores + block_heads * run);
  const unsigned stride = staged_stride<Element>(head_dim), sequence = a.batch.sequences[row];
  const std::size_t head_base = kv_head * a.kv.head_stride;
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (unsigned i = threadIdx.x; i < heads * head_dim; i += threads)
    q[i] = head_of(a.q, row, first_head + i / head_dim, head_dim)[i % head_dim];

  const unsigned first = (seen.begin > run_begin ? seen.begin : run_begin) / staged_positions * staged_positions;
  const unsigned last = seen.end - run_begin < run ? seen.end : run_begin + run;
  for (unsigned staged = first; staged < last; staged += staged_positions) {
    stage_positions<Element>(a, static_cast<const char*>(a.kv.k) + head_base, sequence, staged, seen, stage);
    const unsigned position = staged + lane;
    if (position >= seen.begin && position < last) {
      const auto* const k = reinterpret_cast<const Element*>(stage + lane * stride);
      for (unsigned head = warp; head < heads; head += warps) {
        float score = dot(q + head * head_dim, k, head_dim) * a.scale;
        if (a.soft_cap != 0.0f) score = tanh_one(__fdiv_rn(score, a.soft_cap)) * a.soft_cap;
        scores[head * run + position - run_begin] = score;
      }
    }
    __syncthreads();
  }
  for (unsigned head = warp; head < heads; head += warps)
    softmax_of_run(scores + head * run, seen, run_begin,
                   args.run_sums + 2 * run_index(args, row, first_head + head, blockIdx.x));

  // P·V: a thread has one column of a head, two of a head wider than the block, for up to eight heads.
  unsigned width = 1;
  while (width < head_dim && width < threads) width *= 2;
  const unsigned column = threadIdx.x % width, slot = threadIdx.x / width, slots = threads / width;
  float values[2][block_heads] = {};
  for (unsigned staged = first; staged < last; staged += staged_positions) {
    stage_positions<Element>(a, static_cast<const char*>(a.kv.v) + head_base, sequence, staged, seen, stage);
    const unsigned from = staged > seen.begin ? staged : seen.begin;
    const unsigned to = last - staged < staged_positions ? last : staged + staged_positions;
    TESSERA_UNROLL_BY(2)
    for (unsigned p = from; p < to; ++p) {
      const auto* const v = reinterpret_cast<const Element*>(stage + (p - staged) * stride);
      const float near = column < head_dim ? element(v, column) : 0.0f;
      const float far = column + threads < head_dim ? element(v, column + threads) : 0.0f;
      TESSERA_UNROLL
      for (unsigned i = 0; i < block_heads; ++i) {
        const unsigned head = slot + i * slots;
        if (head >= heads) continue;
        const float e = scores[head * run + p - run_begin];
        values[0][i] = fused(e, near, values[0][i]);
        values[1][i] = fused(e, far, values[1][i]);
      }
    }
    __syncthreads();
  }
  TESSERA_UNROLL
  for (unsigned i = 0; i < block_heads; ++i) {
    const unsigned head = slot + i * slots;
    if (head >= heads) continue;
    float* const out = args.run_values + run_index(args, row, first_head + head, blockIdx.x) * head_dim;
    if (column < head_dim) out[column] = values[0][i];
    if (column + threads < head_dim) out[column + threads] = values[1][i];
  }
}

__global__ void __launch_bounds__(threads) attention_fold_kernel(const __grid_constant__ AttentionArgs args) {
  const tessera_device_attention_args& a = args.a;
  const unsigned row = blockIdx.y, head = blockIdx.x, head_dim = a.kv.head_dim;
  const Visible seen = visible_to(a, row);
  const unsigned first = seen.begin / run, last = (seen.end - 1) / run;
  float* const out = head_of(a.out, row, head, head_dim);
  for (unsigned i = threadIdx.x; i < head_dim; i += threads) {
    std::size_t index = run_index(args, row, head, first);
    float m = args.run_sums[2 * index], l = args.run_sums[2 * index + 1], o = args.run_values[index * head_dim + i];
    for (unsigned number = first + 1; number <= last; ++number) {
      ++index;
      const float run_m = args.run_sums[2 * index], larger = run_m > m ? run_m : m;
      const float old_share = exp_one(m - larger), new_share = exp_one(run_m - larger);
      l = fused(args.run_sums[2 * index + 1], new_share, l * old_share);
      o = fused(args.run_values[index * head_dim + i], new_share, o * old_share);
      m = larger;
    }
    out[i] = o * __fdiv_rn(1.0f, l);
  }
}

/// What is wrong with the cache or the heads, or null.
const char* fault_of(const tessera_device_batch& batch, const tessera_device_kv& kv, const tessera_device_heads& q) {
  if (kv.head_dim < 1 || kv.head_dim > TESSERA_DEVICE_HEAD_DIM_MAX) return "heads must be 1 to 256 wide";
  if (kv.page_positions < 16 || kv.page_positions % 16 != 0 || run % kv.page_positions != 0)
    return "pages must have 16, 32, 64 or 128 positions";
  if (!aligned(kv.k) || !aligned(kv.v) || kv.head_stride % TESSERA_DEVICE_ALIGNMENT != 0 ||
      kv.page_stride % TESSERA_DEVICE_ALIGNMENT != 0)
    return "pages must be aligned to 16 bytes";
  if (q.slice_heads < 1) return "a slice has no head";
  if (batch.rows > 65535) return "a step has at most 65535 rows";
  return nullptr;
}

template <typename Element>
std::int32_t launch_runs(tessera_device_queue* queue, const AttentionArgs& args) {
  const unsigned head_dim = args.a.kv.head_dim, row_bytes = head_dim * static_cast<unsigned>(sizeof(Element));
  LaunchShape shape;
  shape.grid = {args.runs, args.a.kv_heads * args.group_splits, args.a.batch.rows};
  shape.threads = threads;
  shape.shared_bytes = std::size_t{(block_heads * head_dim + 3) / 4 * 4 + block_heads * run} * 4 +
                       std::size_t{staged_positions} * (row_bytes % 16 == 0 ? row_bytes + 16 : row_bytes);
  return launch(queue, "attention_runs", attention_runs_kernel<Element>, shape, args);
}

}  // namespace

std::int32_t rope_kv(tessera_device_queue* queue, const tessera_device_rope_kv_args* a) {
  const char* fault = fault_of(a->batch, a->kv, a->q);
  if (fault == nullptr && (a->k.slice_heads < 1 || a->v.slice_heads < 1)) fault = "a slice has no head";
  if (fault == nullptr && a->k.count != a->v.count) fault = "there must be as many keys as values";
  if (fault == nullptr && 2 * std::uint64_t{a->half} > a->kv.head_dim) fault = "more is rotated than a head has";
  TESSERA_DEVICE_REQUIRE(queue, "rope_kv", fault == nullptr, "%s", fault);
  if (a->batch.rows == 0 || a->q.count + a->k.count == 0) return TESSERA_DEVICE_OK;
  LaunchShape shape;
  shape.grid = {a->q.count + a->k.count, a->batch.rows, 1};
  shape.threads = threads;
  return launch(queue, "rope_kv", rope_kv_kernel, shape, *a);
}

std::int32_t attention(tessera_device_queue* queue, const tessera_device_attention_args* a) {
  const char* fault = fault_of(a->batch, a->kv, a->q);
  if (fault == nullptr && (a->out.slice_heads < 1 || a->out.count != a->q.count))
    fault = "out must have the heads of q";
  if (fault == nullptr && (a->group < 1 || a->length_max < 1)) fault = "there is no group or no length";
  if (fault == nullptr && (a->head_first / a->group < a->kv_head_first ||
                           (std::uint64_t{a->head_first} + a->q.count + a->group - 1) / a->group >
                               std::uint64_t{a->kv_head_first} + a->kv_heads))
    fault = "query heads whose KV head is not in the cache";
  if (fault == nullptr && !aligned(a->scratch)) fault = "the scratch memory must be aligned";
  TESSERA_DEVICE_REQUIRE(queue, "attention", fault == nullptr, "%s", fault);
  if (a->batch.rows == 0 || a->q.count == 0) return TESSERA_DEVICE_OK;
  AttentionArgs args{};
  args.a = *a;
  args.runs = divide_up(a->length_max, run);
  args.group_splits = divide_up(a->group, block_heads);
  args.run_sums = a->scratch;
  args.run_values = a->scratch + std::size_t{2} * a->batch.rows * a->q.count * args.runs;
  const std::int32_t status =
      a->kv.bf16 != 0 ? launch_runs<unsigned short>(queue, args) : launch_runs<float>(queue, args);
  if (status != TESSERA_DEVICE_OK) return status;
  LaunchShape shape;
  shape.grid = {a->q.count, a->batch.rows, 1};
  shape.threads = threads;
  return launch(queue, "attention_fold", attention_fold_kernel, shape, args);
}

}  // namespace tessera::cuda
