#include <algorithm>

#include "bench/bench.hpp"
#include "bench/child.hpp"
#include "bench/model_runner.hpp"
#include "runtime/importers/synthetic.hpp"

namespace tessera::bench {

namespace {

constexpr std::uint32_t prefill_tokens = 512;
constexpr std::uint32_t decode_steps = 16;
constexpr std::uint32_t batch_prompt_tokens = 32;
constexpr std::uint32_t batch_sizes[] = {4, 8, 16};

/// What the machine reaches right now, in tokens/s of a model.
class Rooflines {
 public:
  static Result<Rooflines> create(const Settings& settings, DType dtype, const TokenCost& cost) {
    TESSERA_TRY(auto pool, ThreadPool::create(settings.threads));
    return Rooflines(settings, dtype, cost, std::move(pool));
  }
  double prefill() const { return peak() / cost_.layer_multiply_adds; }
  double decode(std::uint32_t sequences = 1) const {
    const double read = sequences * reader_.measure(settings_.isa, *pool_, *settings_.clock) * 1e9 / cost_.bytes;
    if (sequences == 1) return read;
    return std::min(read, peak() / (cost_.layer_multiply_adds + cost_.head_multiply_adds));
  }

 private:
  Rooflines(const Settings& settings, DType dtype, const TokenCost& cost, std::unique_ptr<ThreadPool> pool)
      : settings_(settings), dtype_(dtype), cost_(cost), pool_(std::move(pool)), reader_(512u << 20) {}
  double peak() const { return measure_peak(dtype_, settings_.isa, *pool_, *settings_.clock) * 1e9; }

  const Settings& settings_;
  DType dtype_;
  TokenCost cost_;
  std::unique_ptr<ThreadPool> pool_;
  ReadProbe reader_;
};

Row row_of(const std::string& shape, DType dtype, const std::string& what, const char* unit = "tokens/s") {
  return {shape + " " + to_string(dtype) + ", " + what, unit, {}, {}};
}

/// A prompt and some tokens behind it, each right after the probe of its roofline.
Result<void> take_sample(ModelRunner& runner, const Rooflines& rooflines, std::uint32_t prompt, Row& prefill,
                         Row& decode) {
  prefill.roofline.add(rooflines.prefill());
  TESSERA_TRY(const double prefill_time, runner.prefill(prompt));
  prefill.value.add(prompt / prefill_time);
  decode.roofline.add(rooflines.decode());
  TESSERA_TRY(const double decode_time, runner.decode(decode_steps));
  decode.value.add(decode_steps / decode_time);
  return {};
}

/// Empty without a peer.
Result<std::string> peer_model_of(const Settings& settings, const std::string& shape, DType dtype) {
  if (settings.peer == nullptr) return std::string();
  return settings.peer->model(settings.cache_folder, shape, dtype);
}

}  // namespace

Result<std::vector<Row>> bench_model(const Settings& settings, const std::string& shape, DType dtype) {
  constexpr std::uint32_t positions = prefill_tokens + decode_steps;
  TESSERA_TRY(auto runner, ModelRunner::create(settings, shape, dtype, 1, positions));
  TESSERA_TRY(const auto rooflines, Rooflines::create(settings, dtype, runner.cost()));
  TESSERA_TRY(const std::string peer_model, peer_model_of(settings, shape, dtype));
  Row decode = row_of(shape, dtype, "decode"), prefill = row_of(shape, dtype, "prefill 512");
  TESSERA_CHECK(runner.prefill(prefill_tokens));  // pages in, buffers grown
  for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
    TESSERA_CHECK(take_sample(runner, rooflines, prefill_tokens, prefill, decode));
    if (settings.peer == nullptr) continue;
    // Its decode begins without a context, ours behind the prompt: a handicap of about a hundredth.
    TESSERA_TRY(const auto speed, settings.peer->run(peer_model, settings.threads, prefill_tokens, decode_steps, 0));
    prefill.peer.add(speed.prefill);
    decode.peer.add(speed.decode);
  }
  return std::vector<Row>{decode, prefill};
}

Result<std::vector<Row>> bench_batches(const Settings& settings, const std::string& shape, DType dtype) {
  TESSERA_TRY(const std::string peer_model, peer_model_of(settings, shape, dtype));
  std::vector<Row> rows;
  for (const std::uint32_t sequences : batch_sizes) {
    constexpr std::uint32_t positions = batch_prompt_tokens + decode_steps;
    TESSERA_TRY(auto runner, ModelRunner::create(settings, shape, dtype, sequences, positions));
    TESSERA_TRY(const auto rooflines, Rooflines::create(settings, dtype, runner.cost()));
    Row row = row_of(shape, dtype, "decode of " + std::to_string(sequences) + " sequences");
    TESSERA_CHECK(runner.prefill(batch_prompt_tokens));
    for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
      runner.rewind(batch_prompt_tokens);
      row.roofline.add(rooflines.decode(sequences));
      TESSERA_TRY(const double seconds, runner.decode(decode_steps));
      row.value.add(sequences * decode_steps / seconds);
      if (settings.peer == nullptr) continue;
      TESSERA_TRY(const double speed,
                  settings.peer->run_batch(peer_model, settings.threads, sequences, batch_prompt_tokens, decode_steps));
      row.peer.add(speed);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::vector<Row>> bench_long_context(const Settings& settings, const std::string& shape, DType dtype) {
  TESSERA_TRY(const auto model, synthetic_shape(shape));
  const std::uint32_t context = model.context_length, prompt = context - decode_steps;
  TESSERA_TRY(auto runner, ModelRunner::create(settings, shape, dtype, 1, context));
  TESSERA_TRY(const auto rooflines, Rooflines::create(settings, dtype, runner.cost()));
  TESSERA_TRY(const std::string peer_model, peer_model_of(settings, shape, dtype));
  const std::string length = std::to_string(context);
  Row prefill = row_of(shape, dtype, "prefill " + length), decode = row_of(shape, dtype, "decode at " + length);
  for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
    TESSERA_CHECK(take_sample(runner, rooflines, prompt, prefill, decode));
    if (settings.peer == nullptr) continue;
    TESSERA_TRY(const auto first, settings.peer->run(peer_model, settings.threads, prompt, 1, 0));
    prefill.peer.add(first.prefill);
    TESSERA_TRY(const auto then, settings.peer->run(peer_model, settings.threads, 0, decode_steps, prompt));
    decode.peer.add(then.decode);
  }
  return std::vector<Row>{prefill, decode};
}

Result<std::vector<Row>> bench_start(const Settings& settings, const std::string& shape, DType dtype) {
  TESSERA_TRY(const std::string model, cached_model(settings, shape, dtype));
  Row row = row_of(shape, dtype, "start of `tessera run` to the first token", "ms");
  const std::vector<std::string> command = {settings.tessera,
                                            "run",
                                            model,
                                            "--prompt-ids",
                                            "3,40,77,114,151,188,225,12,49,86,123,160,197,234,21,58",
                                            "-n",
                                            "1",
                                            "--ignore-eos",
                                            "--threads",
                                            std::to_string(settings.threads)};
  TESSERA_CHECK(run_child(command, *settings.clock));  // pages in
  for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
    TESSERA_TRY(const ChildOutput output, run_child(command, *settings.clock));
    row.value.add(output.first_byte_seconds * 1e3);
  }
  return std::vector<Row>{row};
}

Result<std::vector<Row>> bench_busy_core(const Settings& settings, const std::string& shape, DType dtype) {
  if (settings.threads < usable_cores()) return std::vector<Row>{};
  TESSERA_TRY(auto runner, ModelRunner::create(settings, shape, dtype, 1, batch_prompt_tokens + decode_steps));
  TESSERA_TRY(const std::string peer_model, peer_model_of(settings, shape, dtype));
  Row row = row_of(shape, dtype, "decode beside a process that keeps one core busy");
  TESSERA_CHECK(runner.prefill(batch_prompt_tokens));
  for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
    runner.rewind(batch_prompt_tokens);
    TESSERA_TRY(const double alone, runner.decode(decode_steps));
    row.roofline.add(decode_steps / alone * (1 - 0.5 / settings.threads));
    runner.rewind(batch_prompt_tokens);
    TESSERA_TRY(const auto busy, BusyCore::start(0));
    TESSERA_TRY(const double beside, runner.decode(decode_steps));
    row.value.add(decode_steps / beside);
    if (settings.peer == nullptr) continue;
    TESSERA_TRY(const auto speed, settings.peer->run(peer_model, settings.threads, 0, decode_steps, 0));
    row.peer.add(speed.decode);
  }
  return std::vector<Row>{row};
}

}  // namespace tessera::bench
