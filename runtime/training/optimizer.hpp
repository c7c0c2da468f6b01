// AdamW with clipping by the global norm, and the learning rate's course: linear warm-up, then half a cosine.
//
// I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019; clipping after R. Pascanu, T. Mikolov,
// Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/training/parameters.hpp"
#include "runtime/training/training_ops.hpp"

namespace tessera {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  ///< of matrices; norm weights do not decay
  double clip_norm = 1.0;     ///< 0: no clipping
};

struct LearningRate {
  double peak = 1e-3;
  double final_share = 0.1;  ///< of the peak, at the last step
  std::uint64_t warmup_steps = 0;
  std::uint64_t steps = 1;  ///< all of them

  /// Of step 1 .. steps.
  double at(std::uint64_t step) const;
};

/// Confined to the thread of `ops`; layout and ops outlive it.
class AdamW {
 public:
  AdamW(const ParameterLayout& layout, TrainingOps& ops, const AdamWOptions& options);

  /// One step, `step` counting from 1; everything has layout.size() floats. Returns the gradient's norm before
  /// clipping; where it is no finite number nothing is changed.
  double step(std::uint64_t step, double learning_rate, const float* gradient, float* weights);

  /// [layout.size()] each: part of what a resumed run needs.
  std::vector<float>& first_moments() { return m_; }
  std::vector<float>& second_moments() { return v_; }
  const std::vector<float>& first_moments() const { return m_; }
  const std::vector<float>& second_moments() const { return v_; }

 private:
  double norm(const float* gradient);

  const ParameterLayout& layout_;
  TrainingOps& ops_;
  AdamWOptions options_;
  std::vector<float> m_, v_;
  std::vector<float> squares_;  ///< per run of norm_run elements
};

}  // namespace tessera
