// What a training that was stopped needs to go on to the same bits: step, weights, moments, curves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "runtime/base/result.hpp"
#include "runtime/training/learning_curves.hpp"
#include "runtime/training/train_config.hpp"
#include "runtime/training/trainer.hpp"

namespace tessera {

/// What decides the bits of a training, as JSON: shape, data, order, optimizer. Trainings of the same identity go the
/// same way.
nlohmann::json training_identity(const TrainingPlan& plan, const TrainConfig& config, const std::string& corpus_id,
                                 const std::string& start_id);

struct TrainingProgress {
  LearningCurves curves;
  double smoothed_loss = 0;  ///< exponential mean over some ten steps
};

/// Writes the state; the old one stays until the new one is on the disk.
Result<void> save_training(const std::string& path, const nlohmann::json& identity, const Trainer& trainer,
                           const TrainingProgress& progress);

/// Fills `trainer` with the state. Errors: corrupt; invalid_argument where it is that of another training, naming what
/// differs.
Result<TrainingProgress> load_training(const std::string& path, const nlohmann::json& identity, Trainer& trainer);

}  // namespace tessera
