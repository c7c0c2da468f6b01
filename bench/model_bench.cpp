#include <filesystem>

#include "bench/bench.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/model/generation.hpp"

namespace tessera::bench {

namespace {

constexpr std::uint32_t prefill_tokens = 512;
constexpr std::uint32_t decode_tokens_per_sample = 16;

Result<std::shared_ptr<const Checkpoint>> cached_model(const Settings& settings, const std::string& shape_name,
                                                       DType dtype) {
  const std::string path = settings.cache_folder + "/" + shape_name + "-" + to_string(dtype) + ".h5";
  if (!std::filesystem::exists(path)) {
    TESSERA_TRY(auto shape, synthetic_shape(shape_name));
    ImportOptions options;
    options.dtype = dtype;
    options.name = shape_name;
    TESSERA_CHECK(write_checkpoint(*synthetic_source(shape, 1), path, options, {}));
  }
  TESSERA_TRY(auto source, open_source(path));
  return Checkpoint::open(source);
}

/// Weights that one decoded token reads (all but the embedding table, of which it reads one row) in bytes, and the
/// multiply-adds of one prompt token (no head: only the last one needs logits; attention itself is not counted).
struct TokenCost {
  double bytes = 0, multiply_adds = 0;
};

TokenCost token_cost(const Manifest& manifest) {
  TokenCost cost;
  for (const TensorEntry& entry : manifest.tensors) {
    const auto* packed = std::get_if<PackedLayout>(&entry.spec.layout);
    if (packed == nullptr || (entry.spec.name == embedding_name && !manifest.shape.tied_head)) continue;
    cost.bytes += static_cast<double>(packed->bytes());
    const bool is_head = entry.spec.name == head_name || entry.spec.name == embedding_name;
    if (!is_head) cost.multiply_adds += static_cast<double>(packed->rows) * packed->columns;
  }
  return cost;
}

class Runner {
 public:
  Runner(LocalReplica& replica, const Clock& clock)
      : replica_(replica), clock_(clock), logits_(replica.manifest().shape.vocab_size) {}

  Result<double> prefill_seconds() {
    replica_.pages().release(pages_);
    TESSERA_CHECK(replica_.pages().grow(pages_, prefill_tokens + 1024));
    std::vector<TokenId> tokens;
    for (std::uint32_t i = 0; i < prefill_tokens; ++i) tokens.push_back(static_cast<TokenId>(3 + i * 37 % 250));
    std::vector<StepRow> rows = sequence_rows(tokens, 0, prefill_tokens);
    rows.back().wants_logits = true;
    position_ = prefill_tokens;
    return timed(rows);
  }

  Result<double> decode_seconds(std::uint32_t count) {
    double seconds = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      const StepRow row{static_cast<TokenId>(5 + i), position_++, 0, true};
      TESSERA_TRY(const double step, timed({&row, 1}));
      seconds += step;
    }
    return seconds;
  }

 private:
  Result<double> timed(std::span<const StepRow> rows) {
    const StepSequence sequence{pages_};
    const TimePoint start = clock_.now();
    TESSERA_CHECK(replica_.forward({step_++, rows, {&sequence, 1}}, logits_));
    return seconds_between(start, clock_.now());
  }

  LocalReplica& replica_;
  const Clock& clock_;
  std::vector<float> logits_;
  std::vector<PageId> pages_;
  std::uint32_t position_ = 0;
  std::uint64_t step_ = 0;
};

}  // namespace

Result<std::vector<Row>> bench_model(const Settings& settings, const std::string& shape, DType dtype) {
  TESSERA_TRY(auto checkpoint, cached_model(settings, shape, dtype));
  ReplicaOptions options;
  options.threads = settings.threads;
  options.ops = settings.ops;
  options.kv_positions = prefill_tokens + 1024;
  TESSERA_TRY(auto replica, LocalReplica::create(checkpoint, options));
  TESSERA_TRY(auto pool, ThreadPool::create(settings.threads));
  const TokenCost cost = token_cost(checkpoint->manifest());
  const ReadProbe reader(512u << 20);
  const std::string name = shape + " " + to_string(dtype);
  Row decode{name + ", decode", "tokens/s", {}, {}}, prefill{name + ", prefill 512", "tokens/s", {}, {}};
  Runner runner(*replica, *settings.clock);
  TESSERA_CHECK(runner.prefill_seconds());  // pages in, buffers grown
  for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
    prefill.roofline.add(measure_peak(dtype, settings.isa, *pool, *settings.clock) * 1e9 / cost.multiply_adds);
    TESSERA_TRY(const double prefill_time, runner.prefill_seconds());
    prefill.value.add(prefill_tokens / prefill_time);
    decode.roofline.add(reader.measure(settings.isa, *pool, *settings.clock) * 1e9 / cost.bytes);
    TESSERA_TRY(const double decode_time, runner.decode_seconds(decode_tokens_per_sample));
    decode.value.add(decode_tokens_per_sample / decode_time);
  }
  return std::vector<Row>{decode, prefill};
}

}  // namespace tessera::bench
