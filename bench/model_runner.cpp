#include "bench/model_runner.hpp"

#include <algorithm>
#include <filesystem>

#include "bench/page_cache.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/model/generation.hpp"

namespace tessera::bench {

TokenCost token_cost(const Manifest& manifest) {
  TokenCost cost;
  for (const TensorEntry& entry : manifest.tensors) {
    const auto* packed = std::get_if<PackedLayout>(&entry.spec.layout);
    if (packed == nullptr || (entry.spec.name == embedding_name && !manifest.shape.tied_head)) continue;
    cost.bytes += static_cast<double>(packed->bytes());
    const bool is_head = entry.spec.name == head_name || entry.spec.name == embedding_name;
    (is_head ? cost.head_multiply_adds : cost.layer_multiply_adds) +=
        static_cast<double>(packed->rows) * packed->columns;
  }
  return cost;
}

Result<std::string> cached_model(const Settings& settings, const std::string& shape_name, DType dtype) {
  std::string path = settings.cache_folder + "/" + shape_name + "-" + to_string(dtype) + ".h5";
  if (!std::filesystem::exists(path)) {
    TESSERA_TRY(auto shape, synthetic_shape(shape_name));
    ImportOptions options;
    options.dtype = dtype;
    options.name = shape_name;
    TESSERA_CHECK(write_checkpoint(*synthetic_source(shape, 1), path, options, {}));
  }
  drop_from_page_cache(path);
  return path;
}

Result<ModelRunner> ModelRunner::create(const Settings& settings, const std::string& shape, DType dtype,
                                        std::uint32_t sequences, std::uint32_t positions) {
  TESSERA_TRY(const std::string path, cached_model(settings, shape, dtype));
  TESSERA_TRY(auto source, open_source(path));
  TESSERA_TRY(auto checkpoint, Checkpoint::open(source));
  ReplicaOptions options;
  options.threads = settings.threads;
  options.ops = settings.ops;
  options.kv_positions = sequences * positions;
  options.sequences_max = sequences;
  TESSERA_TRY(auto replica, LocalReplica::create(std::move(checkpoint), options));
  return ModelRunner(std::move(replica), *settings.clock, sequences, positions);
}

ModelRunner::ModelRunner(std::unique_ptr<LocalReplica> replica, const Clock& clock, std::uint32_t sequences,
                         std::uint32_t positions)
    : replica_(std::move(replica)),
      clock_(&clock),
      cost_(token_cost(replica_->manifest())),
      positions_(positions),
      logits_(std::size_t{sequences} * replica_->manifest().shape.vocab_size),
      pages_(sequences) {}

Result<double> ModelRunner::prefill(std::uint32_t tokens) {
  for (std::vector<PageId>& pages : pages_) replica_->pages().release(pages);
  for (std::vector<PageId>& pages : pages_) TESSERA_CHECK(replica_->pages().grow(pages, positions_));
  std::vector<TokenId> prompt;
  for (std::uint32_t i = 0; i < tokens; ++i) prompt.push_back(static_cast<TokenId>(3 + i * 37 % 250));
  double seconds = 0;
  for (const std::vector<PageId>& pages : pages_) {
    const StepSequence sequence{pages};
    for (std::uint32_t first = 0; first < tokens; first += limits::step_rows_max) {
      const std::uint32_t count = std::min(limits::step_rows_max, tokens - first);
      std::vector<StepRow> rows = sequence_rows(prompt, first, first + count);
      rows.back().wants_logits = first + count == tokens;
      TESSERA_TRY(const double step, timed(rows, {&sequence, 1}));
      seconds += step;
    }
  }
  position_ = tokens;
  return seconds;
}

Result<double> ModelRunner::decode(std::uint32_t steps) {
  std::vector<StepSequence> sequences;
  for (const std::vector<PageId>& pages : pages_) sequences.push_back({pages});
  double seconds = 0;
  for (std::uint32_t i = 0; i < steps; ++i, ++position_) {
    std::vector<StepRow> rows;
    for (std::uint32_t sequence = 0; sequence < sequences.size(); ++sequence)
      rows.push_back({static_cast<TokenId>(5 + i + sequence), position_, sequence, true});
    TESSERA_TRY(const double step, timed(rows, sequences));
    seconds += step;
  }
  return seconds;
}

Result<double> ModelRunner::timed(std::span<const StepRow> rows, std::span<const StepSequence> sequences) {
  const Step step{step_++, rows, sequences};
  const std::span logits(logits_.data(), std::size_t{step.logits_rows()} * replica_->manifest().shape.vocab_size);
  const TimePoint start = clock_->now();
  TESSERA_CHECK(replica_->forward(step, logits));
  return seconds_between(start, clock_->now());
}

}  // namespace tessera::bench
