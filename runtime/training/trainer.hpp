// Trainer: trains a Llama-architecture model from scratch or from given weights.
//
//   Trainer trainer(plan, corpus, ops);
//   trainer.initialise();                                  // or weights() filled, or restored with step and moments
//   while (trainer.step() < plan.rate.steps) { TESSERA_TRY(auto report, trainer.run_step()); … }
//
// What comes out is a function of plan, corpus and starting weights alone: the number of threads, the instruction set
// and interruptions do not show in a bit.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/training/gradient_tree.hpp"
#include "runtime/training/llama_gradient.hpp"
#include "runtime/training/optimizer.hpp"
#include "runtime/training/token_corpus.hpp"

namespace tessera {

struct TrainingPlan {
  ModelShape shape;
  std::uint64_t seed = 1;
  std::uint32_t micro_batch_sequences = 4;  ///< a leaf of the gradient's tree: part of what is computed
  std::uint32_t micro_batches = 4;          ///< per step
  /// Tokens of a sequence, by micro-batch in turns: one of a shorter length has as many more sequences, and as many
  /// tokens. Empty: that of the corpus. (H. Pouransari and others, "Dataset decomposition: faster LLM training with
  /// variable sequence length curriculum", 2024.)
  std::vector<std::uint32_t> lengths;
  LearningRate rate;
  AdamWOptions optimizer;

  std::uint64_t tokens_per_step(std::uint32_t length) const {
    return std::uint64_t{micro_batch_sequences} * micro_batches * length;
  }
};

struct TrainingStep {
  std::uint64_t step = 0;  ///< counted from 1
  double loss = 0;         ///< mean −log p of a token, before the step
  double gradient_norm = 0;
  double learning_rate = 0;
};

/// Confined to the thread of `ops`; corpus and ops outlive it.
class Trainer {
 public:
  Trainer(const TrainingPlan& plan, const TokenCorpus& corpus, TrainingOps& ops);

  /// Fresh weights: matrices from a normal distribution of deviation 0.02, those that write to the residual stream
  /// divided by sqrt(2 layers) (GPT-2), norms 1. A function of the seed.
  void initialise();

  /// Steps done.
  std::uint64_t step() const { return step_; }
  /// Errors: corrupt when loss or gradient is no finite number any more; the weights are those before the step then.
  Result<TrainingStep> run_step();

  /// Mean −log p of a token over the first `windows_max` windows of `corpus`, in order.
  double validation_loss(const TokenCorpus& corpus, std::size_t windows_max);

  const ParameterLayout& parameters() const { return gradient_.parameters(); }
  /// [parameters().size()]. Together with the optimizer's moments and step() what a resumed run needs.
  std::vector<float>& weights() { return weights_; }
  const std::vector<float>& weights() const { return weights_; }
  AdamW& optimizer() { return optimizer_; }
  const AdamW& optimizer() const { return optimizer_; }
  void set_step(std::uint64_t step) { step_ = step; }

 private:
  TrainingPlan plan_;
  const TokenCorpus& corpus_;
  LlamaGradient gradient_;
  GradientTree tree_;
  AdamW optimizer_;
  std::vector<float> weights_;
  std::uint64_t step_ = 0;
};

}  // namespace tessera
