// TrainConfig: what train.toml says. examples/stories/train.toml shows every key with its meaning.
//
// Everything is checked when the file is read; all faults of a file are reported at once, each with file, line, key and
// what would be accepted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/training/optimizer.hpp"

namespace tessera {

struct TrainConfig {
  std::filesystem::path file;  ///< absolute; relative paths of the file start from its folder
  std::string name;            ///< of the model
  std::filesystem::path output;
  std::uint64_t seed = 1;

  // [data]
  std::vector<std::filesystem::path> train, validation;
  std::filesystem::path tokenizer;  ///< empty where the model is that of `from`: its own
  std::string separator;            ///< between documents of one file, besides <|endoftext|>; empty: none

  // [model]
  std::filesystem::path from;       ///< a checkpoint whose weights are trained on; empty: fresh ones
  std::optional<ModelShape> shape;  ///< where there is no `from`; its vocabulary is the tokenizer's

  // [batch]
  std::uint32_t length = 256;               ///< tokens of a sequence, at most
  std::vector<std::uint32_t> lengths;       ///< TrainingPlan
  bool begin_at_documents = false;          ///< sequences begin where documents do; otherwise anywhere
  std::uint32_t micro_batch_sequences = 4;  ///< TrainingPlan
  std::uint32_t micro_batches = 4;          ///< TrainingPlan

  // [schedule], [optimizer]
  LearningRate rate;
  AdamWOptions optimizer;
  bool round_bf16 = false;  ///< operands of products are rounded to bf16

  // [reports]
  std::uint64_t validate_every = 100;
  std::uint64_t validation_tokens = 32768;  ///< at most so many are judged
  std::uint64_t save_every = 100;
  std::vector<DType> dtypes{DType::f32};  ///< of the models that are written at the end, one each
};

/// Reads and checks a file. Errors: not_found, io, invalid_argument.
Result<TrainConfig> load_train_config(const std::filesystem::path& file);
/// As above, from the text. `file` is absolute and names the text in messages.
Result<TrainConfig> parse_train_config(std::string_view text, const std::filesystem::path& file);

}  // namespace tessera
