#include "runtime/model/matrix_ops.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/base/ensure.hpp"
#include "runtime/model/matmul_call.hpp"
#include "runtime/tensor/shard_memory.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t lanes = TESSERA_LANES;

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

}  // namespace

std::uint32_t unit_output_stride(const PackedLayout& layout) { return divide_up(layout.slice, lanes) * lanes; }

namespace {

std::uint32_t tiles_of(const MappedTensor& weights, SliceRange units) {
  if (units.empty()) return 0;
  const PackedLayout& layout = weights.packed();
  TESSERA_ENSURE(layout.split == SplitAxis::rows);
  return (units.count() - 1) * divide_up(layout.slice, lanes) + layout.unit_tiles(units.end - 1);
}

/// Some tiles of a column-parallel matrix, counted from the first of `units`.
struct Tiles {
  const MappedTensor& weights;
  SliceRange units;
  std::uint32_t begin, end;

  const std::byte* address(std::uint32_t tile) const {
    const PackedLayout& layout = weights.packed();
    const std::uint32_t unit_tiles = divide_up(layout.slice, lanes);
    return weights.unit(units.begin + tile / unit_tiles) + tile % unit_tiles * layout.tile_bytes();
  }
};

/// The first of the tiles gives y[row][0]; `next`: what the thread reads after them. One call, as tiles lie one behind
/// the other from unit to unit: a unit can be less than a kernel reads side by side.
void multiply_tiles(const tessera_op_table& ops, const Tiles& tiles, const Activations& x, float* y, std::size_t ldy,
                    const void* next) {
  if (tiles.begin == tiles.end) return;
  const std::uint32_t unit_tiles = divide_up(tiles.weights.packed().slice, lanes);
  const std::uint32_t unit = tiles.units.begin + tiles.begin / unit_tiles, first = tiles.begin % unit_tiles;
  matmul(ops, x, {&tiles.weights, unit, first, first + tiles.end - tiles.begin, 0, y, ldy, next});
}

/// Where task `task` of `tasks` begins: at an even tile, as kernels take two tiles at a time.
std::uint32_t cut(std::uint32_t tiles, std::uint32_t task, std::uint32_t tasks) {
  return task == tasks ? tiles : static_cast<std::uint32_t>(std::uint64_t{tiles} * task / tasks) / 2 * 2;
}

}  // namespace

void column_parallel(const ComputeContext& context, std::span<const ColumnMatrix> matrices, const Activations& x) {
  std::uint32_t tiles = 0;
  for (const ColumnMatrix& matrix : matrices) tiles += tiles_of(matrix.weights, matrix.units);
  if (tiles == 0) return;
  const std::uint32_t tasks =
      task_count(*context.pool, tiles, matrices.front().weights.packed().tile_bytes(), x.rows());
  context.pool->run(tasks, [&](std::uint32_t task, std::uint32_t) {
    // The tiles of all matrices are numbered one after the other.
    const std::uint32_t begin = cut(tiles, task, tasks), end = cut(tiles, task + 1, tasks);
    std::uint32_t before = 0;
    for (std::size_t i = 0; i < matrices.size(); ++i) {
      const ColumnMatrix& matrix = matrices[i];
      const std::uint32_t own = tiles_of(matrix.weights, matrix.units);
      const std::uint32_t first = std::max(begin, before), last = std::min(end, before + own);
      before += own;
      if (first >= last) continue;
      const std::uint32_t tile = first + own - before;
      const bool goes_on = last < end && i + 1 < matrices.size() && !matrices[i + 1].units.empty();
      multiply_tiles(*context.ops, {matrix.weights, matrix.units, tile, tile + last - first}, x,
                     matrix.y + std::size_t{tile} * lanes, matrix.ldy,
                     goes_on ? matrices[i + 1].weights.unit(matrices[i + 1].units.begin) : nullptr);
    }
  });
}

namespace {

/// Adds a bias to the columns [begin, begin + width) of rows of products, as far as it goes.
void add_bias(const tessera_op_table& ops, std::span<const float> bias, std::size_t begin, std::size_t width,
              std::uint32_t rows, float* products, std::size_t ld) {
  if (begin >= bias.size()) return;  // none, or padding
  const std::span<const float> own = bias.subspan(begin, std::min(width, bias.size() - begin));
  for (std::size_t row = 0; row < rows; ++row)
    ops.add(products + row * ld, own.data(), own.size(), products + row * ld);
}

/// What becomes of `n` products of both matrices, or of one; in the place of the first.
using Combine = void (*)(const tessera_op_table& ops, float* gates, const float* ups, std::size_t n);

Combine combination(bool gated, Activation activation) {
  switch (activation) {
    case Activation::silu:
      TESSERA_ENSURE(gated);
      return [](const tessera_op_table& ops, float* gates, const float* ups, std::size_t n) {
        ops.swiglu(gates, ups, n, gates);
      };
    case Activation::gelu_tanh:
      if (!gated) {
        return [](const tessera_op_table& ops, float* gates, const float*, std::size_t n) {
          ops.gelu_tanh(gates, n, gates);
        };
      }
      return [](const tessera_op_table& ops, float* gates, const float* ups, std::size_t n) {
        ops.gelu_tanh(gates, n, gates);
        ops.mul(gates, ups, n, gates);
      };
    case Activation::gelu_erf:
      if (!gated) {
        return [](const tessera_op_table& ops, float* gates, const float*, std::size_t n) {
          ops.gelu_erf(gates, n, gates);
        };
      }
      return [](const tessera_op_table& ops, float* gates, const float* ups, std::size_t n) {
        ops.gelu_erf(gates, n, gates);
        ops.mul(gates, ups, n, gates);
      };
  }
  TESSERA_ENSURE(false);
}

/// Real columns of some units.
std::size_t columns_of(const PackedLayout& layout, SliceRange units) {
  return layout.unit_begin(units.end - 1) + layout.unit_extent(units.end - 1) - layout.unit_begin(units.begin);
}

}  // namespace

void GatedColumns::run(const ComputeContext& context, const FeedForwardMatrices& matrices, SliceRange units,
                       const Activations& x, Activations& out) {
  // Without a gate the products of `up` take its place.
  const MappedTensor& first = matrices.gate != nullptr ? *matrices.gate : *matrices.up;
  const MappedTensor* const second = matrices.gate != nullptr ? matrices.up : nullptr;
  const float* const first_bias = matrices.gate != nullptr ? matrices.gate_bias : matrices.up_bias;
  const float* const second_bias = second != nullptr ? matrices.up_bias : nullptr;
  const Combine combine = combination(second != nullptr, matrices.activation);
  const std::uint32_t tiles = tiles_of(first, units), rows = x.rows();
  TESSERA_ENSURE((second == nullptr || tiles == tiles_of(*second, units)) && tiles * lanes <= out.columns());
  out.begin(context, rows);
  if (tiles == 0) return;
  const std::size_t columns = columns_of(first.packed(), units);
  const auto bias_of = [&](const float* bias) {
    return bias != nullptr ? std::span<const float>(bias, columns) : std::span<const float>();
  };
  // Many tokens: so few tiles to a task that their products stay in the cache until they meet.
  const std::uint32_t tasks = std::max(task_count(*context.pool, tiles, 2 * first.packed().tile_bytes(), rows),
                                       divide_up(tiles, gated_tiles_max(rows)));
  // Shares begin at even tiles; behind the last one comes the padding of the last unit. shard_memory.cpp counts on
  // this.
  const std::uint32_t padded = out.columns() / lanes - tiles;
  const std::uint32_t share = std::min(tiles, gated_tiles_max(rows) + tiles % 2);
  const std::size_t width_max = std::size_t{share + padded} * lanes;
  const std::size_t piece = width_max * rows;
  if (pieces_.size() < 2 * piece * context.pool->threads())
    pieces_ = AlignedBuffer<float>(2 * piece * context.pool->threads());
  context.pool->run(tasks, [&](std::uint32_t task, std::uint32_t worker) {
    const std::uint32_t begin = cut(tiles, task, tasks), end = cut(tiles, task + 1, tasks);
    if (begin == end) return;
    const std::size_t products = std::size_t{end - begin} * lanes, column = std::size_t{begin} * lanes;
    const std::size_t padding = end == tiles ? padded * lanes : 0, width = products + padding;
    float* const gates = pieces_.data() + 2 * piece * worker;
    float* const ups = gates + rows * width;
    const std::byte* const next = second != nullptr ? Tiles{*second, units, begin, end}.address(begin) : nullptr;
    multiply_tiles(*context.ops, {first, units, begin, end}, x, gates, width, next);
    add_bias(*context.ops, bias_of(first_bias), column, products, rows, gates, width);
    if (second != nullptr) {
      multiply_tiles(*context.ops, {*second, units, begin, end}, x, ups, width, nullptr);
      add_bias(*context.ops, bias_of(second_bias), column, products, rows, ups, width);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      float* const products_of_row = gates + row * width;
      combine(*context.ops, products_of_row, ups + row * width, products);
      std::fill_n(products_of_row + products, padding, 0.0f);
    }
    out.put(*context.ops, gates, width, begin * lanes, static_cast<std::uint32_t>(width));
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
      const std::uint32_t unit = weights.units().begin + slice;
      std::uint8_t merge = schedule.merges_after[slice];
      // The first addition is made where the product comes out.
      const bool accumulate = merge > 0;
      if (accumulate) --merge, --height;
      MatmulCall call{&weights, unit, begin, end, std::size_t{slice} * layout.unit_k(), stack + height++ * entry,
                      width};
      call.accumulate = accumulate;
      if (slice + 1 < slices) call.next = weights.unit(unit + 1) + begin * layout.tile_bytes();
      matmul(*context.ops, x, call);
      for (; merge > 0; --merge) {
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
