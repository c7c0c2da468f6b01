#include "runtime/training/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/base/exact_math.hpp"
#include "runtime/base/rng.hpp"

namespace tessera {

namespace {

constexpr double deviation = 0.02;
constexpr double full_turn = 6.28318530717958647692;

/// Normal numbers by pairs: G. Box, M. Muller, "A note on the generation of random normal deviates", 1958.
double normal(PhiloxKey key, std::uint64_t index) {
  const std::uint64_t pair = index / 2;
  const auto low = static_cast<std::uint32_t>(pair), high = static_cast<std::uint32_t>(pair >> 32);
  const double u = uniform_double(key, {low, high, 0, 1}), v = uniform_double(key, {low, high, 1, 1});
  const double radius = std::sqrt(-2 * exact::log(1 - u));
  const exact::SinCos angle = exact::sincos(full_turn * v);
  return radius * (index % 2 == 0 ? angle.cos : angle.sin);
}

/// Whether the matrix's output is added to the residual stream.
bool writes_residual(const std::string& name) { return name.ends_with(".attn_out") || name.ends_with(".ffn_down"); }

}  // namespace

Trainer::Trainer(const TrainingPlan& plan, const TokenCorpus& corpus, TrainingOps& ops)
    : plan_(plan),
      corpus_(corpus),
      gradient_(plan.shape, ops),
      tree_(gradient_.parameters().size(), ops),
      optimizer_(gradient_.parameters(), ops, plan.optimizer),
      weights_(gradient_.parameters().size()) {}

void Trainer::initialise() {
  const PhiloxKey key = philox_key(plan_.seed);
  const double residual = deviation / std::sqrt(2.0 * plan_.shape.layers);
  for (const Parameter& parameter : parameters().all()) {
    const double scale = writes_residual(parameter.name) ? residual : deviation;
    for (std::size_t i = 0; i < parameter.count(); ++i) {
      weights_[parameter.offset + i] =
          parameter.is_matrix ? static_cast<float>(scale * normal(key, parameter.offset + i)) : 1.0f;
    }
  }
}

Result<TrainingStep> Trainer::run_step() {
  const std::uint64_t step = step_ + 1;
  const std::uint64_t tokens = plan_.tokens_per_step(corpus_.length());
  const auto factor = static_cast<float>(1.0 / static_cast<double>(tokens));
  double loss = 0;
  const float* const gradient = tree_.sum(plan_.micro_batches, [&](std::uint32_t index, float* out) {
    const std::uint32_t length = plan_.lengths.empty() ? corpus_.length() : plan_.lengths[index % plan_.lengths.size()];
    const std::uint32_t sequences = plan_.micro_batch_sequences * corpus_.length() / length;
    const OwnedMicroBatch batch = corpus_.random(plan_.seed, step, index, sequences, length);
    loss += gradient_.gradient(weights_.data(), batch.view, factor, out);
  });
  TrainingStep report{step, loss / static_cast<double>(tokens), 0, plan_.rate.at(step)};
  const auto diverged = [&](const char* what) {
    return Error{ErrorCode::corrupt, "training diverged at step " + std::to_string(step) + ": the " + what +
                                         " is no finite number; lower the learning rate, or clip the gradient"};
  };
  if (!std::isfinite(report.loss)) return diverged("loss");
  report.gradient_norm = optimizer_.step(step, report.learning_rate, gradient, weights_.data());
  if (!std::isfinite(report.gradient_norm)) return diverged("gradient");
  step_ = step;
  return report;
}

double Trainer::validation_loss(const TokenCorpus& corpus, std::size_t windows_max) {
  const std::size_t windows = std::min(windows_max, corpus.windows());
  double loss = 0;
  for (std::size_t first = 0; first < windows;) {
    const auto sequences =
        static_cast<std::uint32_t>(std::min<std::size_t>(plan_.micro_batch_sequences, windows - first));
    loss += gradient_.loss(weights_.data(), corpus.in_order(first, sequences).view);
    first += sequences;
  }
  return loss / (static_cast<double>(windows) * corpus.length());
}

}  // namespace tessera
