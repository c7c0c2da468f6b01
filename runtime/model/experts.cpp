#include "runtime/model/experts.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/base/ensure.hpp"
#include "runtime/model/matmul_call.hpp"
#include "runtime/tensor/shard_memory.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t lanes = TESSERA_LANES;
constexpr std::uint32_t rows_per_task = 8;

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

}  // namespace

Experts::Experts(const BlockPlan& plan, DType dtype, std::uint32_t rows, std::uint32_t dim, std::uint32_t stride,
                 std::uint32_t columns)
    : plan_(plan),
      dtype_(dtype),
      dim_(dim),
      stride_(stride),
      columns_(columns),
      logits_stride_(divide_up(plan.experts, lanes) * lanes),
      logits_(std::size_t{rows} * logits_stride_),
      probabilities_(std::size_t{rows} * logits_stride_),
      chosen_(std::size_t{rows} * plan.experts_used),
      weights_(std::size_t{rows} * plan.experts_used),
      gathered_(std::size_t{rows} * stride),
      router_input_(DType::f32, rows, dim),
      input_(dtype, rows, dim) {}

std::size_t Experts::bytes() const {
  std::size_t sum =
      (logits_.size() + probabilities_.size() + gathered_.size() + stacks_.size() + weights_.size()) * sizeof(float) +
      chosen_.size() * sizeof(std::uint32_t) + input_.bytes();
  for (const Activations& hidden : hidden_) sum += hidden.bytes();
  return sum;
}

void Experts::route(const ComputeContext& context, const MappedTensor& router, const float* normed,
                    std::uint32_t rows) {
  rows_ = rows;
  router_input_.prepare(context, normed, stride_, rows);
  const ColumnMatrix matrix{router, router.units(), logits_.data(), logits_stride_};
  column_parallel(context, {&matrix, 1}, router_input_);
  choose_rows(context);
  group_by_expert();
}

void Experts::choose_rows(const ComputeContext& context) {
  context.pool->run(divide_up(rows_, rows_per_task), [&](std::uint32_t task, std::uint32_t) {
    for (std::uint32_t row = task * rows_per_task; row < std::min(rows_, (task + 1) * rows_per_task); ++row) {
      choose(*context.ops, row);
    }
  });
}

void Experts::choose(const tessera_op_table& ops, std::uint32_t row) {
  const float* const logits = logits_.data() + std::size_t{row} * logits_stride_;
  float* const probabilities = probabilities_.data() + std::size_t{row} * logits_stride_;
  std::uint32_t* const chosen = chosen_.data() + std::size_t{row} * plan_.experts_used;
  float* const weights = weights_.data() + std::size_t{row} * plan_.experts_used;
  const float largest = ops.max(logits, plan_.experts);
  const float total = ops.exp_sum(logits, plan_.experts, largest);
  for (std::uint32_t expert = 0; expert < plan_.experts; ++expert) probabilities[expert] = logits[expert] - largest;
  ops.exp(probabilities, plan_.experts, probabilities);
  float sum = 0;
  for (std::uint32_t i = 0; i < plan_.experts_used; ++i) {
    std::uint32_t best = plan_.experts;
    for (std::uint32_t expert = 0; expert < plan_.experts; ++expert) {
      if (std::find(chosen, chosen + i, expert) != chosen + i) continue;
      if (best == plan_.experts || logits[expert] > logits[best]) best = expert;
    }
    chosen[i] = best;
    weights[i] = probabilities[best] / total;
    sum = sum + weights[i];
  }
  if (!plan_.experts_normalised) return;
  for (std::uint32_t i = 0; i < plan_.experts_used; ++i) weights[i] = weights[i] / sum;
}

void Experts::group_by_expert() {
  std::vector<std::uint32_t> counts(plan_.experts, 0);
  const std::size_t pairs = std::size_t{rows_} * plan_.experts_used;
  for (std::size_t pair = 0; pair < pairs; ++pair) ++counts[chosen_[pair]];
  routing_.experts.clear();
  routing_.begins.assign(1, 0);
  routing_.chosen.resize(pairs);
  std::vector<std::uint32_t> next(plan_.experts, 0);
  for (std::uint32_t expert = 0; expert < plan_.experts; ++expert) {
    if (counts[expert] == 0) continue;
    next[expert] = routing_.begins.back();
    routing_.experts.push_back(expert);
    routing_.begins.push_back(next[expert] + counts[expert]);
  }
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    routing_.chosen[next[chosen_[pair]]++] = {static_cast<std::uint32_t>(pair / plan_.experts_used), weights_[pair]};
  }
}

void Experts::columns(const ComputeContext& context, const std::vector<ExpertWeights>& experts, SliceRange units,
                      const float* normed, GatedColumns& gated) {
  hidden_.clear();
  hidden_.reserve(routing_.experts.size());
  for (std::size_t i = 0; i < routing_.experts.size(); ++i) {
    const ExpertWeights& expert = experts[routing_.experts[i]];
    const std::uint32_t count = routing_.rows_of(i);
    const ExpertRouting::Chosen* const own = routing_.chosen.data() + routing_.begins[i];
    input_.prepare(context, gathered_.data(), stride_, count, [&](std::uint32_t row) {
      std::memcpy(gathered_.data() + std::size_t{row} * stride_, normed + std::size_t{own[row].row} * stride_,
                  dim_ * sizeof(float));
    });
    hidden_.emplace_back(dtype_, count, columns_);
    gated.run(context, {&expert.gate, &expert.up, nullptr, nullptr, plan_.activation}, units, input_, hidden_.back());
  }
}

void Experts::rows(const ComputeContext& context, const std::vector<ExpertWeights>& experts,
                   const TreeSchedule& schedule, float* results) {
  const PackedLayout& layout = experts.front().down.packed();
  const SliceRange units = experts.front().down.units();
  TESSERA_ENSURE(layout.split == SplitAxis::columns && schedule.merges_after.size() == units.count());
  const std::uint32_t tiles = layout.unit_tiles(0), slices = units.count();
  // As in RowParallel, with one entry more for the products of one expert. shard_memory.cpp counts on this.
  const std::size_t entries = std::size_t{schedule.depth_max} + 1;
  const std::size_t tile_stack_bytes = entries * rows_ * lanes * sizeof(float);
  const auto tiles_that_fit =
      static_cast<std::uint32_t>(std::max<std::size_t>(2, partial_stack_bytes / tile_stack_bytes));
  const std::uint32_t wanted =
      task_count(*context.pool, tiles, layout.tile_bytes() * slices * routing_.experts.size(), rows_);
  const std::uint32_t tiles_per_task = std::min(divide_up(divide_up(tiles, wanted), 2) * 2, tiles_that_fit);
  const std::size_t stack_floats = entries * rows_ * tiles_per_task * lanes;
  if (stacks_.size() < stack_floats * context.pool->threads()) {
    stacks_ = AlignedBuffer<float>(stack_floats * context.pool->threads());
  }
  const std::size_t result_stride = std::size_t{rows_} * tiles * lanes;
  context.pool->run(divide_up(tiles, tiles_per_task), [&](std::uint32_t task, std::uint32_t worker) {
    const std::uint32_t begin = task * tiles_per_task, end = std::min(begin + tiles_per_task, tiles);
    const std::size_t width = std::size_t{end - begin} * lanes, entry = width * rows_;
    float* const products = stacks_.data() + worker * stack_floats;
    float* const stack = products + entry;
    std::size_t height = 0;
    for (std::uint32_t slice = 0; slice < slices; ++slice) {
      float* const leaf = stack + height++ * entry;
      std::fill_n(leaf, entry, 0.0f);
      for (std::size_t i = 0; i < routing_.experts.size(); ++i) {
        const MatmulCall call{&experts[routing_.experts[i]].down,
                              units.begin + slice,
                              begin,
                              end,
                              std::size_t{slice} * layout.unit_k(),
                              products,
                              width};
        matmul(*context.ops, hidden_[i], call);
        for (std::uint32_t row = 0; row < routing_.rows_of(i); ++row) {
          const ExpertRouting::Chosen& chosen = routing_.chosen[routing_.begins[i] + row];
          context.ops->add_scaled(products + row * width, width, chosen.weight, leaf + chosen.row * width);
        }
      }
      for (std::uint8_t merge = schedule.merges_after[slice]; merge > 0; --merge) {
        --height;
        float* const left = stack + (height - 1) * entry;
        context.ops->add(left, stack + height * entry, entry, left);
      }
    }
    for (std::size_t result = 0; result < height; ++result) {
      for (std::uint32_t row = 0; row < rows_; ++row) {
        std::memcpy(results + result * result_stride + row * std::size_t{tiles} * lanes + std::size_t{begin} * lanes,
                    stack + result * entry + row * width, width * sizeof(float));
      }
    }
  });
}

}  // namespace tessera
