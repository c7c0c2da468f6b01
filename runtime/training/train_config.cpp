#include "runtime/training/train_config.hpp"

#include <span>

#include "runtime/base/limits.hpp"
#include "runtime/config/config_section.hpp"
#include "runtime/importers/byte_source.hpp"

namespace tessera {

namespace {

constexpr const char* file_kind = "the configuration of a training";
constexpr std::int64_t steps_max = 100'000'000;

/// Reads the whole file into a TrainConfig. Lives for one file.
class Reader {
 public:
  Reader(const toml::table& top, const std::filesystem::path& file) : top_(top, "", faults_) { config_.file = file; }

  Result<TrainConfig> read() {
    read_top();
    read_data();
    read_model();
    read_batch();
    read_schedule();
    read_optimizer();
    read_reports();
    top_.finish();
    if (faults_.any()) return faults_.error(config_.file);
    return std::move(config_);
  }

 private:
  std::filesystem::path from_folder(const std::string& path) const {
    return (config_.file.parent_path() / path).lexically_normal();
  }

  std::vector<std::filesystem::path> paths(ConfigSection& section, const std::string& key) {
    std::vector<std::filesystem::path> found;
    for (const std::string& path : section.texts(key).value_or(std::vector<std::string>())) {
      if (path.empty()) section.fault(key, "an empty path; write the name of a text file");
      found.push_back(from_folder(path));
    }
    return found;
  }

  std::filesystem::path path(ConfigSection& section, const std::string& key) {
    const auto value = section.text(key);
    if (!value) return {};
    if (value->empty()) section.fault(key, "it is empty; write a path, or leave the key out");
    return from_folder(*value);
  }

  template <typename T>
  static void set(T& value, const std::optional<std::int64_t>& read) {
    if (read) value = static_cast<T>(*read);
  }

  /// Calls read(section) where the file has the table.
  template <typename Read>
  void in(const std::string& key, const Read& read) {
    const toml::table* const table = top_.table(key);
    if (!table) return;
    ConfigSection section(*table, key, faults_);
    read(section);
    section.finish();
  }

  void read_top() {
    if (!top_.has("name")) top_.fault("name", "it is missing; write the model's name, such as name = \"stories\"");
    config_.name = top_.text("name").value_or("");
    if (top_.has("name") && config_.name.empty()) top_.fault("name", "it is empty; write the model's name");
    const std::string output = top_.text("output").value_or(config_.name.empty() ? "." : config_.name);
    if (output.empty()) top_.fault("output", "it is empty; write a folder, or leave the key out for one of the name");
    config_.output = from_folder(output);
    set(config_.seed, top_.integer("seed", 0, std::int64_t{1} << 53));
  }

  void read_data() {
    if (!top_.has("data")) top_.fault("data", "it is missing; write [data] with train = [\"…\"]");
    in("data", [this](ConfigSection& data) {
      if (!data.has("train")) data.fault("train", "it is missing; write the text files to learn from: [\"train.txt\"]");
      config_.train = paths(data, "train");
      config_.validation = paths(data, "validation");
      config_.tokenizer = path(data, "tokenizer");
      config_.separator = data.text("separator").value_or("");
    });
  }

  void read_model() {
    if (!top_.has("model"))
      top_.fault("model", "it is missing; write [model] with the shape, or from = \"CHECKPOINT\"");
    in("model", [this](ConfigSection& model) {
      if (model.has("from")) {
        config_.from = path(model, "from");
      } else {
        read_shape(model);
      }
    });
    if (config_.from.empty() && config_.tokenizer.empty() && top_.has("data")) {
      top_.fault("data",
                 "its key tokenizer is missing; write the tokenizer of the new model (tessera tokenizer train)");
    }
  }

  void read_shape(ConfigSection& model) {
    ModelShape shape;
    const auto needed = [&](const char* key, std::uint32_t& value, std::int64_t max) {
      if (!model.has(key)) model.fault(key, "it is missing; write a whole number");
      set(value, model.integer(key, 1, max));
    };
    needed("dim", shape.dim, limits::model_dim_max);
    needed("layers", shape.layers, limits::layers_max);
    needed("heads", shape.heads, limits::heads_max);
    needed("ffn_dim", shape.ffn_dim, limits::ffn_dim_max);
    needed("context_length", shape.context_length, limits::context_length_max);
    shape.kv_heads = shape.heads;
    set(shape.kv_heads, model.integer("kv_heads", 1, limits::heads_max));
    if (shape.heads != 0) shape.head_dim = shape.dim / shape.heads;
    set(shape.head_dim, model.integer("head_dim", 2, limits::head_dim_max));
    const auto positive = [](double value) { return value > 0; };
    shape.rope_theta = model.number("rope_theta", positive, "above 0").value_or(shape.rope_theta);
    const auto is_epsilon = [](double value) { return value > 0 && value < 1; };
    shape.norm_eps = static_cast<float>(
        model.number("norm_eps", is_epsilon, "above 0 and below 1").value_or(static_cast<double>(shape.norm_eps)));
    shape.tied_head = model.boolean("tied_head").value_or(false);
    shape.vocab_size = 1;  // known later
    if (faults_.any()) return;
    if (const auto valid = validate(shape, "[model]"); !valid) model.fault("dim", valid.error().message);
    config_.shape = shape;
  }

  void read_batch() {
    in("batch", [this](ConfigSection& batch) {
      set(config_.length, batch.integer("length", 2, 1 << 16));
      set(config_.micro_batch_sequences, batch.integer("micro_batch_sequences", 1, 1 << 12));
      set(config_.micro_batches, batch.integer("micro_batches", 1, 1 << 16));
      config_.begin_at_documents = batch.choice("begin", {"anywhere", "documents"}).value_or("anywhere") == "documents";
      if (const auto lengths = batch.integers("lengths", 2, config_.length)) read_lengths(batch, *lengths);
    });
    if (config_.shape && config_.length > config_.shape->context_length && !faults_.any()) {
      top_.fault("batch", "its length of " + std::to_string(config_.length) +
                              " is beyond the model's context_length of " +
                              std::to_string(config_.shape->context_length));
    }
  }

  /// Every micro-batch has the same number of tokens.
  void read_lengths(ConfigSection& batch, const std::vector<std::int64_t>& lengths) {
    const std::int64_t tokens = std::int64_t{config_.micro_batch_sequences} * config_.length;
    if (lengths.size() > config_.micro_batches) {
      batch.fault("lengths", "it has " + std::to_string(lengths.size()) + " entries, but a step only " +
                                 std::to_string(config_.micro_batches) + " micro_batches");
    }
    for (const std::int64_t length : lengths) {
      if (tokens % length != 0) {
        batch.fault("lengths", std::to_string(length) + " does not divide the " + std::to_string(tokens) +
                                   " tokens of a micro-batch (micro_batch_sequences x length)");
      }
      config_.lengths.push_back(static_cast<std::uint32_t>(length));
    }
  }

  void read_schedule() {
    if (!top_.has("schedule")) top_.fault("schedule", "it is missing; write [schedule] with steps = …");
    in("schedule", [this](ConfigSection& schedule) {
      LearningRate& rate = config_.rate;
      if (!schedule.has("steps")) schedule.fault("steps", "it is missing; write how many steps to train");
      set(rate.steps, schedule.integer("steps", 1, steps_max));
      set(rate.warmup_steps, schedule.integer("warmup_steps", 0, steps_max));
      const auto is_rate = [](double value) { return value > 0 && value <= 10; };
      rate.peak = schedule.number("learning_rate", is_rate, "above 0, at most 10").value_or(rate.peak);
      const auto is_share = [](double value) { return value >= 0 && value <= 1; };
      rate.final_share = schedule.number("final_share", is_share, "from 0 to 1").value_or(rate.final_share);
      if (rate.warmup_steps >= rate.steps && schedule.has("warmup_steps")) {
        schedule.fault("warmup_steps", "it must be below steps");
      }
    });
  }

  void read_optimizer() {
    in("optimizer", [this](ConfigSection& section) {
      AdamWOptions& options = config_.optimizer;
      const auto is_decay = [](double value) { return value >= 0 && value < 1; };
      const auto is_positive = [](double value) { return value > 0 && value < 1; };
      const auto is_norm = [](double value) { return value >= 0; };
      options.beta1 = section.number("beta1", is_decay, "from 0 to below 1").value_or(options.beta1);
      options.beta2 = section.number("beta2", is_decay, "from 0 to below 1").value_or(options.beta2);
      options.epsilon = section.number("epsilon", is_positive, "above 0 and below 1").value_or(options.epsilon);
      options.weight_decay =
          section.number("weight_decay", is_decay, "from 0 to below 1").value_or(options.weight_decay);
      options.clip_norm =
          section.number("clip_norm", is_norm, "of 0 (no clipping) or above").value_or(options.clip_norm);
      config_.round_bf16 = section.choice("compute", {"f32", "bf16"}).value_or("f32") == "bf16";
    });
  }

  void read_reports() {
    in("reports", [this](ConfigSection& reports) {
      set(config_.validate_every, reports.integer("validate_every", 1, steps_max));
      set(config_.validation_tokens, reports.integer("validation_tokens", 1, std::int64_t{1} << 32));
      set(config_.save_every, reports.integer("save_every", 1, steps_max));
      if (const auto names = reports.texts("dtypes")) config_.dtypes = dtypes(reports, *names);
    });
  }

  static std::vector<DType> dtypes(ConfigSection& reports, const std::vector<std::string>& names) {
    std::vector<DType> found;
    for (const std::string& name : names) {
      if (const auto dtype = parse_dtype(name)) {
        found.push_back(*dtype);
      } else {
        reports.fault("dtypes", "\"" + name.substr(0, 20) + "\" is no type of weights. Accepted: " + dtype_names());
      }
    }
    return found;
  }

  ConfigFaults faults_;
  ConfigSection top_;
  TrainConfig config_;
};

}  // namespace

Result<TrainConfig> parse_train_config(std::string_view text, const std::filesystem::path& file) {
  TESSERA_TRY(const toml::table table, parse_toml(text, file, file_kind));
  return Reader(table, file).read();
}

Result<TrainConfig> load_train_config(const std::filesystem::path& file) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(file, failed).lexically_normal();
  if (failed) return Error{ErrorCode::io, "cannot find the folder of " + file.string() + ": " + failed.message()};
  TESSERA_TRY(const std::string text, read_text(absolute.string(), config_bytes_max, file_kind));
  return parse_train_config(text, absolute);
}

}  // namespace tessera
