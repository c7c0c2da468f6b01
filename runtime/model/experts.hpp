// Mixtures of experts: a router chooses, for every row, a few of the layer's feed-forward networks; what they give is
// added with the weights that the router gives them.
//
// Every expert is cut into the same slices as a single feed-forward network would be, so that each shard holds a part
// of all of them and none waits for another. In one slice, a row's sum goes over its experts in the order of their
// numbers; slices are added by the canonical tree. So no order of additions depends on shards, threads or the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/device/aligned_buffer.hpp"
#include "runtime/model/matrix_ops.hpp"
#include "runtime/model/shard_weights.hpp"
#include "runtime/tensor/block_plan.hpp"
#include "runtime/tensor/canonical_tree.hpp"

namespace tessera {

/// Which rows each expert takes, and with what weight.
struct ExpertRouting {
  struct Chosen {
    std::uint32_t row;
    float weight;
  };
  std::vector<std::uint32_t> experts;  ///< those that have rows, ascending
  std::vector<std::uint32_t> begins;   ///< of each expert's rows in `chosen`; one more for the end
  std::vector<Chosen> chosen;          ///< rows ascending for each expert

  std::uint32_t rows_of(std::size_t index) const { return begins[index + 1] - begins[index]; }
};

/// Confined to the shard's thread. For one layer after the other: route(), columns(), rows().
class Experts {
 public:
  Experts() = default;
  /// For up to `rows` rows of `dim` elements, `stride` floats apart; `columns`: of the shard's slices of one expert.
  Experts(const BlockPlan& plan, DType dtype, std::uint32_t rows, std::uint32_t dim, std::uint32_t stride,
          std::uint32_t columns);

  /// Chooses for every row of normed [rows][stride]: softmax over the experts, the largest, of equals the first.
  void route(const ComputeContext& context, const MappedTensor& router, const float* normed, std::uint32_t rows);
  /// activation(gate) * up of every chosen pair.
  void columns(const ComputeContext& context, const std::vector<ExpertWeights>& experts, SliceRange units,
               const float* normed, GatedColumns& gated);
  /// The last matrix; results as RowParallel gives them.
  void rows(const ComputeContext& context, const std::vector<ExpertWeights>& experts, const TreeSchedule& schedule,
            float* results);

  const ExpertRouting& routing() const { return routing_; }
  std::size_t bytes() const;

 private:
  void choose_rows(const ComputeContext& context);
  void choose(const tessera_op_table& ops, std::uint32_t row);
  void group_by_expert();

  BlockPlan plan_;
  DType dtype_ = DType::f32;
  std::uint32_t dim_ = 0, stride_ = 0, columns_ = 0;
  std::uint32_t rows_ = 0;  // of the layer under way
  std::uint32_t logits_stride_ = 0;
  AlignedBuffer<float> logits_;         // [rows][experts], padded
  AlignedBuffer<float> probabilities_;  // the same
  std::vector<std::uint32_t> chosen_;   // [rows][experts_used]
  std::vector<float> weights_;          // the same
  ExpertRouting routing_;
  AlignedBuffer<float> gathered_;  // rows of one expert
  Activations router_input_, input_;
  std::vector<Activations> hidden_;  // of each expert that has rows
  AlignedBuffer<float> stacks_;      // partials and products, per worker
};

}  // namespace tessera
