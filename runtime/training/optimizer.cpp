#include "runtime/training/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/base/ensure.hpp"
#include "runtime/base/exact_math.hpp"

namespace tessera {

namespace {

/// Elements whose squares are added in f32, before the runs are added in double.
constexpr std::size_t norm_run = 4096;
constexpr double half_turn = 3.14159265358979323846;

}  // namespace

double LearningRate::at(std::uint64_t step) const {
  if (step <= warmup_steps) return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  if (steps <= warmup_steps) return peak;
  const double done =
      static_cast<double>(std::min(step, steps) - warmup_steps) / static_cast<double>(steps - warmup_steps);
  const double course = 0.5 * (1 + exact::sincos(half_turn * done).cos);
  return peak * (final_share + (1 - final_share) * course);
}

AdamW::AdamW(const ParameterLayout& layout, TrainingOps& ops, const AdamWOptions& options)
    : layout_(layout),
      ops_(ops),
      options_(options),
      m_(layout.size()),
      v_(layout.size()),
      squares_((layout.size() + norm_run - 1) / norm_run) {}

double AdamW::norm(const float* gradient) {
  ops_.each_run(squares_.size(), 1, [&](std::size_t begin, std::size_t end, std::uint32_t) {
    for (std::size_t run = begin; run < end; ++run) {
      const std::size_t first = run * norm_run;
      squares_[run] = ops_.training().sum_of_squares(gradient + first, std::min(norm_run, layout_.size() - first));
    }
  });
  double sum = 0;
  for (const float squares : squares_) sum += static_cast<double>(squares);
  return std::sqrt(sum);
}

double AdamW::step(std::uint64_t step, double learning_rate, const float* gradient, float* weights) {
  TESSERA_ENSURE(step > 0);
  const double length = norm(gradient);
  if (!std::isfinite(length)) return length;
  const double clip = options_.clip_norm;
  tessera_adamw_args args{};
  args.gradient_scale = clip > 0 && length > clip ? static_cast<float>(clip / length) : 1.0f;
  args.beta1 = static_cast<float>(options_.beta1);
  args.beta2 = static_cast<float>(options_.beta2);
  args.rest1 = static_cast<float>(1 - options_.beta1);
  args.rest2 = static_cast<float>(1 - options_.beta2);
  const auto correction = [&](double beta) {
    return static_cast<float>(1 / (1 - exact::pow(beta, static_cast<double>(step))));
  };
  args.correction1 = correction(options_.beta1);
  args.correction2 = correction(options_.beta2);
  args.learning_rate = static_cast<float>(learning_rate);
  args.epsilon = static_cast<float>(options_.epsilon);
  for (const Parameter& parameter : layout_.all()) {
    args.decay = parameter.is_matrix ? static_cast<float>(learning_rate * options_.weight_decay) : 0.0f;
    ops_.each_run(parameter.count(), 4096, [&](std::size_t begin, std::size_t end, std::uint32_t) {
      const std::size_t first = parameter.offset + begin;
      ops_.training().adamw(&args, gradient + first, end - begin, weights + first, m_.data() + first,
                            v_.data() + first);
    });
  }
  return length;
}

}  // namespace tessera
