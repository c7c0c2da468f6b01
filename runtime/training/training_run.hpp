// TrainingRun: a whole training, from texts to a checkpoint that can be served.
//
//   TESSERA_TRY(auto run, TrainingRun::open(config, settings));       // reads, checks, resumes
//   TESSERA_TRY(const bool finished, run->train(report));             // false: stopped by `report`, goes on next time
//   TESSERA_TRY(const auto models, run->write_models());
//
// The output folder holds state.h5 (what a run that was stopped or killed needs), curves.json, curves.svg, and at the
// end a model for each dtype of the configuration, NAME-DTYPE.h5. Each is replaced as a whole.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/training/learning_curves.hpp"
#include "runtime/training/train_config.hpp"
#include "runtime/training/training_data.hpp"

namespace tessera {

struct TrainingSettings {
  std::uint32_t threads = 0;  ///< 0: all usable cores
  std::optional<Isa> isa;     ///< empty: the best one
  bool restart = false;       ///< forgets a state that is there
  CorpusProgress reading;
};

/// After a step.
struct TrainingReport {
  std::uint64_t step = 0;
  double loss = 0;                        ///< smoothed
  std::optional<double> validation_loss;  ///< where it was just measured
};

struct TrainedModel {
  std::string path;
  DType dtype = DType::f32;
  std::string content_id;
};

/// Confined to one thread, which computes on a pool of its own.
class TrainingRun {
 public:
  /// Errors: those of the files; exhausted with the arithmetic where memory is too small; invalid_argument where a
  /// state is that of another training, or another process trains into the same folder.
  static Result<std::unique_ptr<TrainingRun>> open(const TrainConfig& config, const TrainingSettings& settings);
  ~TrainingRun();
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  /// Trains until the last step, or until `report` returns false; what is done is saved either way. Errors: corrupt
  /// where the training diverges (the last state stays), io.
  Result<bool> train(const std::function<bool(const TrainingReport&)>& report);
  /// Models of the weights as they are, into the output folder.
  Result<std::vector<TrainedModel>> write_models();

  std::uint64_t step() const;
  std::uint64_t steps() const;
  std::uint64_t tokens_per_step() const;
  std::uint64_t weights() const;        ///< of the model
  std::uint64_t corpus_tokens() const;  ///< to learn from
  std::uint64_t memory_bytes() const;   ///< the estimate
  const LearningCurves& curves() const;

 private:
  struct State;
  explicit TrainingRun(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tessera
