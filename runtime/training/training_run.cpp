#include "runtime/training/training_run.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/machine_memory.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/device/thread_pool.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/importers/output_file.hpp"
#include "runtime/training/trained_weights.hpp"
#include "runtime/training/training_memory.hpp"
#include "runtime/training/training_state.hpp"

namespace tessera {

namespace {

/// The last loss counts so much in the smoothed one.
constexpr double smoothing = 0.1;
/// A smoothed loss so far above that of guessing means that the training has diverged, nats.
constexpr double diverged_above_guessing = 1.0;

/// The folder is ours until it goes. Two trainings in one folder would overwrite each other's state.
class FolderLock {
 public:
  static Result<FolderLock> take(const std::filesystem::path& folder) {
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed) return Error{ErrorCode::io, folder.string() + ": cannot be made: " + failed.message()};
    FolderLock lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (lock.descriptor_ < 0) {
      return Error{ErrorCode::io, folder.string() + ": cannot be opened: " + std::strerror(errno)};
    }
    if (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      return Error{ErrorCode::invalid_argument,
                   folder.string() + ": another process trains into this folder; wait for it, or give another output"};
    }
    return lock;
  }
  FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

/// Where the model begins.
struct Start {
  std::shared_ptr<const Checkpoint> checkpoint;  ///< null: fresh weights
  ModelShape shape;
  std::optional<Tokenizer> tokenizer;
};

Result<Start> open_start(const TrainConfig& config) {
  Start start;
  if (!config.from.empty()) {
    TESSERA_TRY(const auto source, open_source(config.from.string()));
    TESSERA_TRY(start.checkpoint, Checkpoint::open(source));
    TESSERA_CHECK(check_trainable(start.checkpoint->manifest(), config.from.string()));
    start.shape = start.checkpoint->manifest().shape;
    TESSERA_TRY(const auto blob, start.checkpoint->read_tokenizer());
    if (!blob.empty()) {
      TESSERA_TRY(start.tokenizer, Tokenizer::parse(blob, config.from.string()));
    }
  } else {
    start.shape = *config.shape;
  }
  if (!config.tokenizer.empty()) {
    TESSERA_TRY(TokenizerData data, load_tokenizer(config.tokenizer.string()));
    TESSERA_TRY(start.tokenizer, Tokenizer::create(std::move(data), config.tokenizer.string()));
  }
  if (!start.tokenizer) {
    return Error{ErrorCode::invalid_argument,
                 config.from.string() + ": has no tokenizer; name one by the key tokenizer of [data]"};
  }
  if (!start.checkpoint) start.shape.vocab_size = start.tokenizer->vocab_size();
  if (start.shape.vocab_size != start.tokenizer->vocab_size()) {
    return Error{ErrorCode::invalid_argument,
                 config.tokenizer.string() + ": has " + std::to_string(start.tokenizer->vocab_size()) +
                     " tokens, but the model " + std::to_string(start.shape.vocab_size) + "; use the model's own"};
  }
  if (config.length > start.shape.context_length) {
    return Error{ErrorCode::invalid_argument, config.file.string() + ": the length of " +
                                                  std::to_string(config.length) + " is beyond the model's context of " +
                                                  std::to_string(start.shape.context_length)};
  }
  TESSERA_CHECK(validate(start.shape, config.file.string()));
  return start;
}

std::string hash_of(const std::vector<TokenId>& tokens) {
  return content_id_of({reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(TokenId)});
}

TrainingPlan plan_of(const TrainConfig& config, const ModelShape& shape) {
  TrainingPlan plan;
  plan.shape = shape;
  plan.seed = config.seed;
  plan.micro_batch_sequences = config.micro_batch_sequences;
  plan.micro_batches = config.micro_batches;
  plan.lengths = config.lengths;
  plan.rate = config.rate;
  plan.optimizer = config.optimizer;
  return plan;
}

}  // namespace

struct TrainingRun::State {
  State(TrainConfig c, FolderLock l, TrainingPlan p, TokenCorpus train)
      : config(std::move(c)),
        lock(std::move(l)),
        plan(std::move(p)),
        corpus(std::move(train)),
        progress{LearningCurves(plan.rate.steps)} {}

  const TrainConfig config;
  const FolderLock lock;
  const TrainingPlan plan;
  const TokenCorpus corpus;
  std::optional<TokenCorpus> validation;
  std::vector<std::byte> tokenizer_blob;
  std::string chat_template;
  TrainingMemory memory;
  nlohmann::json identity;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<TrainingOps> ops;
  std::unique_ptr<Trainer> trainer;
  TrainingProgress progress;
  std::uint64_t saved_step = 0;

  std::filesystem::path file(const char* name) const { return config.output / name; }

  Result<void> begin(const Start& start, const TrainingSettings& settings) {
    const std::string state_path = file("state.h5").string();
    std::error_code ignored;
    if (!settings.restart && std::filesystem::exists(state_path, ignored)) {
      TESSERA_TRY(progress, load_training(state_path, identity, *trainer));
      saved_step = trainer->step();
    } else if (start.checkpoint) {
      TESSERA_CHECK(load_weights(*start.checkpoint, trainer->parameters(), trainer->weights()));
    } else {
      trainer->initialise();
    }
    return {};
  }

  Result<void> save() {
    TESSERA_CHECK(save_training(file("state.h5").string(), identity, *trainer, progress));
    saved_step = trainer->step();
    nlohmann::json curves = progress.curves.to_json();
    curves.erase("pending");
    curves["name"] = config.name;
    curves["tokens_per_step"] = plan.tokens_per_step(corpus.length());
    TESSERA_CHECK(write_text(file("curves.json").string(), curves.dump(1) + "\n"));
    return write_text(file("curves.svg").string(), progress.curves.to_svg(config.name));
  }

  Error with_remains(const Error& error) const {
    const std::string kept =
        saved_step == 0 ? "nothing was saved before"
                        : "the state of step " + std::to_string(saved_step) + " stays in " + file("state.h5").string();
    return {error.code, error.message + "; " + kept};
  }

  /// One step; the smoothed loss tells a training that diverges from one that learns.
  Result<void> step() {
    const Result<TrainingStep> done = trainer->run_step();
    if (!done) return with_remains(done.error());
    progress.curves.add(*done);
    double& smoothed = progress.smoothed_loss;
    smoothed = done->step == 1 ? done->loss : smoothed + smoothing * (done->loss - smoothed);
    const double guessing = std::log(static_cast<double>(plan.shape.vocab_size));
    if (smoothed <= guessing + diverged_above_guessing) return {};
    char text[96];
    std::snprintf(text, sizeof text, "the loss is %.2f, and guessing would have %.2f", smoothed, guessing);
    return with_remains({ErrorCode::corrupt, "training diverged at step " + std::to_string(done->step) + ": " + text +
                                                 "; lower the learning rate, or clip the gradient"});
  }

  std::optional<double> validate_now() {
    if (!validation) return std::nullopt;
    const std::uint64_t windows = std::max<std::uint64_t>(1, config.validation_tokens / validation->length());
    const double loss = trainer->validation_loss(*validation, windows);
    progress.curves.add_validation(trainer->step(), loss);
    return loss;
  }
};

TrainingRun::TrainingRun(std::unique_ptr<State> state) : state_(std::move(state)) {}
TrainingRun::~TrainingRun() = default;

Result<std::unique_ptr<TrainingRun>> TrainingRun::open(const TrainConfig& config, const TrainingSettings& settings) {
  TESSERA_TRY(const tessera_op_table* const table, select_kernels(settings.isa));
  if (table->training == nullptr) {
    return Error{ErrorCode::unsupported,
                 std::string("kernel module ") + table->name + " cannot train; choose another by --isa"};
  }
  TESSERA_TRY(const Start start, open_start(config));
  const TrainingPlan plan = plan_of(config, start.shape);
  const std::uint32_t threads = settings.threads == 0 ? usable_cores() : settings.threads;
  const TrainingMemory memory = training_memory(plan, config.length, threads);
  TESSERA_CHECK(check_memory(memory, available_memory()));
  TESSERA_TRY(FolderLock lock, FolderLock::take(config.output));

  const auto read = [&](const std::vector<std::filesystem::path>& files) {
    return tessera::corpus_tokens(files, config.separator, *start.tokenizer, settings.reading);
  };
  const auto corpus_of = [&](DocumentTokens documents, const std::filesystem::path& name) {
    if (!config.begin_at_documents) documents.begins.clear();
    return TokenCorpus::create(std::move(documents.tokens), config.length, start.shape.vocab_size, name.string(),
                               std::move(documents.begins));
  };
  TESSERA_TRY(DocumentTokens documents, read(config.train));
  const std::string corpus_id = hash_of(documents.tokens);
  TESSERA_TRY(TokenCorpus corpus, corpus_of(std::move(documents), config.train.front()));
  auto state = std::make_unique<State>(config, std::move(lock), plan, std::move(corpus));
  if (!config.validation.empty()) {
    TESSERA_TRY(documents, read(config.validation));
    TESSERA_TRY(state->validation, corpus_of(std::move(documents), config.validation.front()));
  }
  state->memory = memory;
  state->tokenizer_blob = start.tokenizer->serialize();
  if (start.checkpoint) state->chat_template = start.checkpoint->manifest().chat_template;
  state->identity = training_identity(plan, config, corpus_id, start.checkpoint ? start.checkpoint->content_id() : "");
  TESSERA_TRY(state->pool, ThreadPool::create(threads));
  state->ops = std::make_unique<TrainingOps>(*table, *state->pool, config.round_bf16);
  state->trainer = std::make_unique<Trainer>(state->plan, state->corpus, *state->ops);
  TESSERA_CHECK(state->begin(start, settings));
  return std::unique_ptr<TrainingRun>(new TrainingRun(std::move(state)));
}

Result<bool> TrainingRun::train(const std::function<bool(const TrainingReport&)>& report) {
  State& state = *state_;
  while (state.trainer->step() < state.plan.rate.steps) {
    TESSERA_CHECK(state.step());
    const std::uint64_t step = state.trainer->step();
    const bool last = step == state.plan.rate.steps;
    TrainingReport now{step, state.progress.smoothed_loss, {}};
    if (last || step % state.config.validate_every == 0) now.validation_loss = state.validate_now();
    const bool go_on = report(now);
    if (last || !go_on || step % state.config.save_every == 0) {
      if (const auto saved = state.save(); !saved) return state.with_remains(saved.error());
    }
    if (!go_on && !last) return false;
  }
  return true;
}

Result<std::vector<TrainedModel>> TrainingRun::write_models() {
  const auto source = trained_source(state_->plan.shape, state_->trainer->weights(), state_->chat_template);
  std::vector<TrainedModel> models;
  for (const DType dtype : state_->config.dtypes) {
    const std::string& name = state_->config.name;
    TrainedModel model{(state_->config.output / (name + "-" + to_string(dtype) + ".h5")).string(), dtype, {}};
    ImportOptions options;
    options.dtype = dtype;
    options.name = name;
    TESSERA_TRY(const ImportReport report,
                write_checkpoint(*source, model.path, options, state_->tokenizer_blob, state_->chat_template));
    model.content_id = report.content_id;
    models.push_back(std::move(model));
  }
  return models;
}

std::uint64_t TrainingRun::step() const { return state_->trainer->step(); }
std::uint64_t TrainingRun::steps() const { return state_->plan.rate.steps; }
std::uint64_t TrainingRun::tokens_per_step() const { return state_->plan.tokens_per_step(state_->corpus.length()); }
std::uint64_t TrainingRun::weights() const { return state_->trainer->parameters().weights(); }
std::uint64_t TrainingRun::corpus_tokens() const { return state_->corpus.size(); }
std::uint64_t TrainingRun::memory_bytes() const { return state_->memory.total(); }
const LearningCurves& TrainingRun::curves() const { return state_->progress.curves; }

}  // namespace tessera
