#include "runtime/training/training_state.hpp"

#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/checkpoint/shape_json.hpp"
#include "runtime/checkpoint/state_file.hpp"

namespace tessera {

namespace {

using nlohmann::json;

/// Raised when the meaning of a state's arrays, or what a step computes, changes.
constexpr int state_version = 1;
constexpr const char *weights_name = "weights", *first_name = "first_moments", *second_name = "second_moments";

/// "batch.length: 256 there, 128 here; …", of what differs.
std::string differences(const json& there, const json& here, const std::string& prefix = "") {
  json keys = here;
  if (there.is_object()) keys.update(there);
  std::string text;
  for (const auto& [key, either] : keys.items()) {
    const json other = there.is_object() ? there.value(key, json()) : json();
    const json value = here.value(key, json());
    if (other == value) continue;
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    const std::string difference = value.is_object() ? differences(other, value, name)
                                                     : name + ": " + other.dump() + " there, " + value.dump() + " here";
    text += (text.empty() ? "" : "; ") + difference;
  }
  return text;
}

}  // namespace

json training_identity(const TrainingPlan& plan, const TrainConfig& config, const std::string& corpus_id,
                       const std::string& start_id) {
  const AdamWOptions& optimizer = plan.optimizer;
  json model = shape_to_json(plan.shape);
  model["from"] = start_id;
  json batch = {{"length", config.length},
                {"micro_batch_sequences", plan.micro_batch_sequences},
                {"micro_batches", plan.micro_batches}};
  // Only where they are not the default: states from before they were there stay good.
  if (!plan.lengths.empty()) batch["lengths"] = plan.lengths;
  if (config.begin_at_documents) batch["begin"] = "documents";
  return {{"version", state_version},
          {"model", std::move(model)},
          {"data", corpus_id},
          {"seed", plan.seed},
          {"batch", std::move(batch)},
          {"schedule",
           {{"steps", plan.rate.steps},
            {"warmup_steps", plan.rate.warmup_steps},
            {"learning_rate", plan.rate.peak},
            {"final_share", plan.rate.final_share}}},
          {"optimizer",
           {{"beta1", optimizer.beta1},
            {"beta2", optimizer.beta2},
            {"epsilon", optimizer.epsilon},
            {"weight_decay", optimizer.weight_decay},
            {"clip_norm", optimizer.clip_norm},
            {"compute", config.round_bf16 ? "bf16" : "f32"}}}};
}

Result<void> save_training(const std::string& path, const json& identity, const Trainer& trainer,
                           const TrainingProgress& progress) {
  const json description = {{"identity", identity},
                            {"step", trainer.step()},
                            {"smoothed_loss", progress.smoothed_loss},
                            {"curves", progress.curves.to_json()}};
  const std::array<StateArray, 3> arrays = {StateArray{weights_name, trainer.weights()},
                                            StateArray{first_name, trainer.optimizer().first_moments()},
                                            StateArray{second_name, trainer.optimizer().second_moments()}};
  return write_state(path, description.dump(), arrays);
}

Result<TrainingProgress> load_training(const std::string& path, const json& identity, Trainer& trainer) {
  TESSERA_TRY(const StateFile file, StateFile::open(path));
  const json description = json::parse(file.description(), nullptr, false);
  const json step = description.is_object() ? description.value("step", json()) : json();
  const json smoothed = description.is_object() ? description.value("smoothed_loss", json()) : json();
  if (!step.is_number_unsigned() || !smoothed.is_number() || !description.contains("identity") ||
      !description.contains("curves")) {
    return Error{ErrorCode::corrupt, path + ": is damaged: its description is none of a training"};
  }
  if (description["identity"] != identity) {
    return Error{ErrorCode::invalid_argument, path + ": is the state of another training (" +
                                                  differences(description["identity"], identity) +
                                                  "); give another output, or --restart to begin anew"};
  }
  TESSERA_TRY(LearningCurves curves, LearningCurves::from_json(description["curves"], path));
  TESSERA_CHECK(file.read(weights_name, trainer.weights()));
  TESSERA_CHECK(file.read(first_name, trainer.optimizer().first_moments()));
  TESSERA_CHECK(file.read(second_name, trainer.optimizer().second_moments()));
  trainer.set_step(step.get<std::uint64_t>());
  return TrainingProgress{std::move(curves), smoothed.get<double>()};
}

}  // namespace tessera
