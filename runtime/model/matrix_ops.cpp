#include "runtime/model/matrix_ops.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/shard_memory.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t lanes = TESSERA_LANES;

/// Tasks per thread: more than one, so that a core that other programs use delays only its share.
constexpr std::uint32_t tasks_per_thread = 4;
/// Products of two gated matrices that stay in a core's cache.
constexpr std::size_t gated_bytes = 512 << 10;
/// Weights below this are not worth a second task.
constexpr std::size_t task_bytes_min = 64 << 10;

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

/// In how many tasks to cut `tiles` tiles of `tile_bytes` each for `rows` tokens.
std::uint32_t task_count(const ThreadPool& pool, std::uint32_t tiles, std::size_t tile_bytes, std::uint32_t rows) {
  if (pool.threads() == 1) return 1;
  const std::size_t work = tiles * tile_bytes * std::min(rows, 16u);
  const auto worthwhile = static_cast<std::uint32_t>(std::clamp<std::size_t>(work / task_bytes_min, 1, 1u << 20));
  return std::min({tiles, worthwhile, pool.threads() * tasks_per_thread});
}

struct MatmulCall {
  const MappedTensor* weights;
  std::uint32_t unit;
  std::uint32_t tile_begin, tile_end;
  std::size_t x_column;
  float* y;
  std::size_t ldy;
};

void matmul_f32(const tessera_op_table& ops, const Activations& x, const MatmulCall& call) {
  const PackedLayout& layout = call.weights->packed();
  const tessera_matmul_f32_args args{call.weights->unit(call.unit),
                                     layout.tile_bytes(),
                                     call.tile_begin,
                                     call.tile_end,
                                     layout.unit_k(),
                                     x.rows(),
                                     x.f32(call.x_column),
                                     x.ldx(),
                                     call.y,
                                     call.ldy};
  ops.matmul_f32(&args);
}

void matmul_bf16(const tessera_op_table& ops, const Activations& x, const MatmulCall& call) {
  const PackedLayout& layout = call.weights->packed();
  const tessera_matmul_bf16_args args{call.weights->unit(call.unit),
                                      layout.tile_bytes(),
                                      call.tile_begin,
                                      call.tile_end,
                                      layout.unit_k(),
                                      x.rows(),
                                      x.bf16(call.x_column),
                                      call.y,
                                      call.ldy};
  ops.matmul_bf16(&args);
}

void matmul_blocks(void (*multiply)(const tessera_matmul_q8_args*), const Activations& x, const MatmulCall& call) {
  const PackedLayout& layout = call.weights->packed();
  const tessera_matmul_q8_args args{call.weights->unit(call.unit),
                                    layout.tile_bytes(),
                                    call.tile_begin,
                                    call.tile_end,
                                    layout.unit_blocks(),
                                    x.rows(),
                                    x.q8(call.x_column),
                                    call.y,
                                    call.ldy};
  multiply(&args);
}

void matmul(const tessera_op_table& ops, const Activations& x, const MatmulCall& call) {
  switch (call.weights->packed().dtype) {
    case DType::f32:
      return matmul_f32(ops, x, call);
    case DType::bf16:
      return matmul_bf16(ops, x, call);
    case DType::q8:
      return matmul_blocks(ops.matmul_q8, x, call);
    case DType::q4:
      return matmul_blocks(ops.matmul_q4, x, call);
  }
}

}  // namespace

Activations::Activations(DType weights, std::uint32_t rows, std::uint32_t k) : weights_(weights), k_(k) {
  const std::size_t blocks = divide_up(k, TESSERA_BLOCK);
  switch (weights) {
    case DType::f32:
      return;
    case DType::bf16:
      rounded_ = AlignedBuffer<float>(rows * (std::size_t{divide_up(k, 2)} * 2));
      return;
    case DType::q8:
    case DType::q4:
      values_ = AlignedBuffer<std::int8_t>(rows * blocks * TESSERA_BLOCK);
      scales_ = AlignedBuffer<float>(rows * blocks);
      corrections_ = AlignedBuffer<std::int32_t>(rows * blocks);
      return;
  }
}

tessera_bf16_rows Activations::bf16(std::size_t column) const {
  const std::size_t value_bytes = bf16_form_ == TESSERA_BF16_PACKED ? sizeof(std::uint16_t) : sizeof(float);
  return {reinterpret_cast<std::byte*>(rounded_.data()) + column * value_bytes, std::size_t{divide_up(k_, 2)} * 2};
}

tessera_q8_rows Activations::q8(std::size_t column) const {
  const std::size_t blocks = divide_up(k_, TESSERA_BLOCK), block = column / TESSERA_BLOCK;
  return {values_.data() + column, scales_.data() + block, corrections_.data() + block, blocks * TESSERA_BLOCK, blocks};
}

void Activations::prepare_rows(const tessera_op_table& ops, std::uint32_t begin, std::uint32_t count) {
  const float* const x = x_ + begin * ldx_;
  switch (weights_) {
    case DType::f32:
      return;
    case DType::bf16: {
      const tessera_bf16_rows all = bf16(0);
      // The rows before `begin`, as columns.
      const tessera_bf16_rows out = bf16(begin * all.ld_values);
      return ops.bf16_rows(x, ldx_, count, k_, &out);
    }
    case DType::q8:
    case DType::q4: {
      tessera_q8_rows out = q8(0);
      out.values += begin * out.ld_values;
      out.scales += begin * out.ld_blocks;
      out.corrections += begin * out.ld_blocks;
      return ops.quantize_rows(x, ldx_, count, k_, &out);
    }
  }
}

void Activations::begin(const ComputeContext& context, const float* x, std::size_t ldx, std::uint32_t rows) {
  x_ = x;
  ldx_ = ldx;
  rows_ = rows;
  bf16_form_ = context.ops->bf16_form;
}

std::uint32_t unit_output_stride(const PackedLayout& layout) { return divide_up(layout.slice, lanes) * lanes; }

namespace {

std::uint32_t tiles_of(const ColumnMatrix& matrix) {
  if (matrix.units.empty()) return 0;
  const PackedLayout& layout = matrix.weights.packed();
  TESSERA_ENSURE(layout.split == SplitAxis::rows);
  return (matrix.units.count() - 1) * divide_up(layout.slice, lanes) + layout.unit_tiles(matrix.units.end - 1);
}

/// Tiles [tile, end) of the matrix, counted from its first unit in `units`.
void multiply_tiles(const tessera_op_table& ops, const ColumnMatrix& matrix, const Activations& x, std::uint32_t tile,
                    std::uint32_t end) {
  const PackedLayout& layout = matrix.weights.packed();
  const std::uint32_t unit_tiles = divide_up(layout.slice, lanes);
  while (tile < end) {
    const std::uint32_t unit = matrix.units.begin + tile / unit_tiles, first = tile % unit_tiles;
    const std::uint32_t last = std::min(first + end - tile, layout.unit_tiles(unit));
    matmul(ops, x, {&matrix.weights, unit, first, last, 0, matrix.y + std::size_t{tile} * lanes, matrix.ldy});
    tile += last - first;
  }
}

/// Where task `task` of `tasks` begins: at an even tile, as kernels take two tiles at a time.
std::uint32_t cut(std::uint32_t tiles, std::uint32_t task, std::uint32_t tasks) {
  return task == tasks ? tiles : static_cast<std::uint32_t>(std::uint64_t{tiles} * task / tasks) / 2 * 2;
}

}  // namespace

void column_parallel(const ComputeContext& context, std::span<const ColumnMatrix> matrices, const Activations& x) {
  std::uint32_t tiles = 0;
  for (const ColumnMatrix& matrix : matrices) tiles += tiles_of(matrix);
  if (tiles == 0) return;
  const std::uint32_t tasks =
      task_count(*context.pool, tiles, matrices.front().weights.packed().tile_bytes(), x.rows());
  context.pool->run(tasks, [&](std::uint32_t task, std::uint32_t) {
    // The tiles of all matrices are numbered one after the other.
    const std::uint32_t begin = cut(tiles, task, tasks), end = cut(tiles, task + 1, tasks);
    std::uint32_t before = 0;
    for (const ColumnMatrix& matrix : matrices) {
      const std::uint32_t own = tiles_of(matrix);
      const std::uint32_t first = std::max(begin, before), last = std::min(end, before + own);
      if (first < last) multiply_tiles(*context.ops, matrix, x, first - before, last - before);
      before += own;
    }
  });
}

void gated_columns(const ComputeContext& context, const ColumnMatrix& gate, const ColumnMatrix& up,
                   const Activations& x) {
  const std::uint32_t tiles = tiles_of(gate), rows = x.rows();
  TESSERA_ENSURE(tiles == tiles_of(up) && gate.ldy == up.ldy);
  if (tiles == 0) return;
  // Many tokens: so few tiles to a task that their products stay in the cache until they meet.
  const auto tiles_that_fit = static_cast<std::uint32_t>(
      std::max<std::size_t>(2, gated_bytes / (std::size_t{rows} * lanes * 2 * sizeof(float)) / 2 * 2));
  const std::uint32_t tasks = std::max(task_count(*context.pool, tiles, 2 * gate.weights.packed().tile_bytes(), rows),
                                       divide_up(tiles, tiles_that_fit));
  context.pool->run(tasks, [&](std::uint32_t task, std::uint32_t) {
    const std::uint32_t begin = cut(tiles, task, tasks), end = cut(tiles, task + 1, tasks);
    multiply_tiles(*context.ops, gate, x, begin, end);
    multiply_tiles(*context.ops, up, x, begin, end);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t first = row * gate.ldy + std::size_t{begin} * lanes;
      context.ops->swiglu(gate.y + first, up.y + first, std::size_t{end - begin} * lanes, gate.y + first);
    }
  });
}

void RowParallel::run(const ComputeContext& context, const MappedTensor& weights, const TreeSchedule& schedule,
                      const Activations& x, float* results) {
  const PackedLayout& layout = weights.packed();
  TESSERA_ENSURE(layout.split == SplitAxis::columns && schedule.merges_after.size() == weights.units().count());
  const std::uint32_t tiles = layout.unit_tiles(0), rows = x.rows(), slices = weights.units().count();
  // Few tokens: each task keeps its whole share of tiles, so that slices are read in file order. Many: blocks whose
  // stack fits the cache.
  const std::size_t tile_stack_bytes = std::size_t{schedule.depth_max} * rows * lanes * sizeof(float);
  const auto tiles_that_fit =
      static_cast<std::uint32_t>(std::max<std::size_t>(2, partial_stack_bytes / tile_stack_bytes));
  const std::uint32_t wanted = task_count(*context.pool, tiles, layout.tile_bytes() * slices, rows);
  const std::uint32_t tiles_per_task = std::min(divide_up(divide_up(tiles, wanted), 2) * 2, tiles_that_fit);
  const std::size_t stack_floats = std::size_t{schedule.depth_max} * rows * tiles_per_task * lanes;
  if (stacks_.size() < stack_floats * context.pool->threads()) {
    stacks_ = AlignedBuffer<float>(stack_floats * context.pool->threads());
  }
  const std::size_t result_stride = std::size_t{rows} * tiles * lanes;
  context.pool->run(divide_up(tiles, tiles_per_task), [&](std::uint32_t task, std::uint32_t worker) {
    const std::uint32_t begin = task * tiles_per_task, end = std::min(begin + tiles_per_task, tiles);
    const std::size_t width = std::size_t{end - begin} * lanes, entry = width * rows;
    float* const stack = stacks_.data() + worker * stack_floats;
    std::size_t height = 0;
    for (std::uint32_t slice = 0; slice < slices; ++slice) {
      matmul(*context.ops, x,
             {&weights, weights.units().begin + slice, begin, end, std::size_t{slice} * layout.unit_k(),
              stack + height++ * entry, width});
      for (std::uint8_t merge = schedule.merges_after[slice]; merge > 0; --merge) {
        --height;
        float* const left = stack + (height - 1) * entry;
        context.ops->add(left, stack + height * entry, entry, left);
      }
    }
    for (std::size_t result = 0; result < height; ++result) {
      for (std::uint32_t row = 0; row < rows; ++row) {
        std::memcpy(results + result * result_stride + row * std::size_t{tiles} * lanes + std::size_t{begin} * lanes,
                    stack + result * entry + row * width, width * sizeof(float));
      }
    }
  });
}

void finish_tree(const ComputeContext& context, const TreeSchedule& schedule, float* nodes, std::size_t count,
                 float* into) {
  constexpr std::size_t floats_per_task = 16 << 10;
  const auto tasks = static_cast<std::uint32_t>((count + floats_per_task - 1) / floats_per_task);
  context.pool->run(tasks, [&](std::uint32_t task, std::uint32_t) {
    const std::size_t begin = task * floats_per_task, length = std::min(floats_per_task, count - begin);
    // The stack holds numbers of nodes; a sum stays in the place of its left part.
    std::size_t stack[64], height = 0;
    for (std::size_t leaf = 0; leaf < schedule.merges_after.size(); ++leaf) {
      TESSERA_ENSURE(height < 64);
      stack[height++] = leaf;
      for (std::uint8_t merge = schedule.merges_after[leaf]; merge > 0; --merge) {
        --height;
        float* const left = nodes + stack[height - 1] * count + begin;
        context.ops->add(left, nodes + stack[height] * count + begin, length, left);
      }
    }
    context.ops->add(into + begin, nodes + stack[0] * count + begin, length, into + begin);
  });
}

}  // namespace tessera
