// LearningCurves: how loss, gradient and learning rate went: what is shown while a model is trained, and kept with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"
#include "runtime/training/trainer.hpp"

namespace tessera {

/// A value.
class LearningCurves {
 public:
  static constexpr std::uint64_t points_max = 1000;

  struct Point {
    std::uint64_t step = 0;    ///< the last of those that the point stands for
    double loss = 0;           ///< their mean
    double gradient_norm = 0;  ///< their mean
    double learning_rate = 0;  ///< of the step
  };
  struct Validation {
    std::uint64_t step = 0;
    double loss = 0;
  };

  /// Of a training of so many steps: a point stands for as many as keep their number below points_max.
  explicit LearningCurves(std::uint64_t steps);

  void add(const TrainingStep& report);
  void add_validation(std::uint64_t step, double loss);

  const std::vector<Point>& points() const { return points_; }
  const std::vector<Validation>& validations() const { return validations_; }

  /// Everything, also the sums of a point that is not complete: from_json() goes on to the bit.
  nlohmann::json to_json() const;
  /// Errors: corrupt.
  static Result<LearningCurves> from_json(const nlohmann::json& json, const std::string& where);

  /// A picture of both losses over the steps.
  std::string to_svg(const std::string& title) const;

 private:
  std::uint64_t steps_;
  std::uint64_t interval_;
  std::vector<Point> points_;
  std::vector<Validation> validations_;
  double loss_sum_ = 0, norm_sum_ = 0;  ///< of the steps since the last point
  std::uint64_t summed_ = 0;
};

}  // namespace tessera
