#include <cstdio>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/process_memory.hpp"
#include "app/report.hpp"
#include "app/run_options.hpp"
#include "app/sampling_options.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/model/generation.hpp"
#include "runtime/model/weight_check.hpp"
#include "runtime/text/text_stream.hpp"

namespace tessera::app {

namespace {

struct RunOptions {
  ModelOptions model;
  PromptOptions prompt;
  SamplingOptions sampling;
  std::uint32_t prefill_chunk = limits::step_rows_max;
  bool no_weight_check = false;
  bool json = false;
};

/// What one run produced so far; survives an interruption.
struct RunOutput {
  std::vector<TokenId> ids;
  std::vector<float> log_probabilities;
  std::string text;
  bool stdout_lost = false;
};

Result<std::vector<TokenId>> prompt_tokens(const RunOptions& options, const OpenModel& model) {
  if (!options.prompt.ids.empty()) return options.prompt.ids;
  TESSERA_TRY(const std::string text, prompt_text(options.prompt));
  if (!model.tokenizer) {
    return Error{ErrorCode::invalid_argument,
                 options.model.model +
                     " has no tokenizer, so it cannot read text; import it with --tokenizer FILE, "
                     "or give the tokens with --prompt-ids"};
  }
  return model.tokenizer->encode(text, {.add_bos = !options.prompt.no_bos});
}

Result<GenerationRequest> build_request(const RunOptions& options, const OpenModel& model) {
  GenerationRequest request;
  TESSERA_TRY(request.prompt, prompt_tokens(options, model));
  request.tokens_max = options.prompt.tokens_max;
  request.prefill_chunk = options.prefill_chunk;
  TESSERA_TRY(request.sampling, sampling_parameters(options.sampling));
  // 53 bits: JSON readers that keep numbers as doubles can hand the seed back unchanged.
  if (!options.sampling.seed_given) request.sampling.seed = SystemEntropy().next_seed() >> 11;
  if (!options.prompt.ignore_eos && model.tokenizer) request.end_tokens = model.tokenizer->data().eos;
  TESSERA_CHECK(validate(request, model.checkpoint->manifest().shape));
  return request;
}

/// Takes tokens as they come: decodes, streams, watches for stop strings.
class TokenPrinter {
 public:
  TokenPrinter(const RunOptions& options, const OpenModel& model, TokenId last_prompt_token, RunOutput& output)
      : stream_(options.prompt.stop),
        tokenizer_(model.tokenizer ? &*model.tokenizer : nullptr),
        previous_(last_prompt_token),
        print_(!options.json),
        output_(output) {}

  bool push(TokenId token, float log_probability) {
    output_.ids.push_back(token);
    output_.log_probabilities.push_back(log_probability);
    emit(tokenizer_ != nullptr ? stream_.push(tokenizer_->decode_piece(previous_, token))
                               : std::to_string(token) + " ");
    previous_ = token;
    return !stream_.stopped() && !output_.stdout_lost;
  }
  void finish() { emit(stream_.finish()); }

 private:
  void emit(const std::string& text) {
    output_.text += text;
    if (!print_ || text.empty()) return;
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
      output_.stdout_lost = true;
  }

  TextStream stream_;
  const Tokenizer* tokenizer_;
  TokenId previous_;
  bool print_;
  RunOutput& output_;
};

struct RunSummary {
  GenerationReport report;
  double load_seconds = 0;
  bool interrupted = false;
  bool weights_checked = false;
};

nlohmann::json to_json(const GenerationRequest& request, const RunOutput& output, const RunSummary& summary) {
  nlohmann::json log_probabilities = nlohmann::json::array();
  for (const float value : output.log_probabilities) log_probabilities.push_back(round_trip(value));
  const GenerationReport& report = summary.report;
  const ProcessMemory memory = process_memory();
  return {{"prompt_ids", request.prompt},
          {"ids", output.ids},
          {"logprobs", log_probabilities},
          {"text", output.text},
          {"finish_reason", summary.interrupted ? "interrupted" : to_string(report.finish_reason)},
          {"seed", request.sampling.seed},
          {"timings",
           {{"load_ms", summary.load_seconds * 1e3},
            {"prompt_tokens", report.prompt_tokens},
            {"prompt_ms", report.prefill_seconds * 1e3},
            {"prompt_tokens_per_second", report.prompt_tokens_per_second()},
            {"first_token_ms", report.first_token_seconds * 1e3},
            {"decode_tokens", report.tokens},
            {"decode_ms", report.decode_seconds * 1e3},
            {"decode_tokens_per_second", report.tokens_per_second()}}},
          {"memory", {{"anonymous_bytes", memory.anonymous_bytes}, {"file_backed_bytes", memory.file_backed_bytes}}},
          {"weights_checked", summary.weights_checked}};
}

void print_summary(const RunSummary& summary) {
  const GenerationReport& report = summary.report;
  std::fprintf(stderr,
               "\n[%s] loaded in %.0f ms | prompt: %u tokens, %.1f tokens/s | first token: %.0f ms | decode: %u "
               "tokens, %.1f tokens/s\n",
               summary.interrupted ? "interrupted" : to_string(report.finish_reason), summary.load_seconds * 1e3,
               report.prompt_tokens, report.prompt_tokens_per_second(), report.first_token_seconds * 1e3, report.tokens,
               report.tokens_per_second());
}

/// Positions that the KV cache needs: prompt and output, but never more than the model's context.
std::uint32_t positions_needed(const GenerationRequest& request, const ModelShape& shape) {
  const std::uint64_t wanted = std::uint64_t{request.prompt.size()} + request.tokens_max;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, shape.context_length));
}

int run(const RunOptions& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  Result<OpenModel> model = open_model(options.model.model, clock);
  if (!model) return fail(model.error());
  Result<GenerationRequest> request = build_request(options, *model);
  if (!request) return fail(request.error());
  auto replica = start_replica(*model, options.model, positions_needed(*request, model->checkpoint->manifest().shape));
  if (!replica) return fail(replica.error());
  RunSummary summary;
  summary.load_seconds = seconds_between(start, clock.now());
  std::optional<WeightCheck> check;
  if (!options.no_weight_check) check.emplace(model->checkpoint);

  RunOutput output;
  TokenPrinter printer(options, *model, request->prompt.back(), output);
  const auto healthy = [&] { return !interrupted() && !(check && check->failure()); };
  Result<GenerationReport> report = generate(
      **replica, *request, clock,
      [&](TokenId token, float log_probability) { return printer.push(token, log_probability); }, healthy);
  printer.finish();
  if (check && check->failure()) return fail(*check->failure());
  summary.interrupted = !report && report.error().code == ErrorCode::cancelled;
  if (!report && !summary.interrupted) return fail(report.error());
  if (report) summary.report = *report;
  if (!report) {
    summary.report.prompt_tokens = static_cast<std::uint32_t>(request->prompt.size());
    summary.report.tokens = static_cast<std::uint32_t>(output.ids.size());
  }
  summary.weights_checked = check && check->finished();
  if (output.stdout_lost) return fail(Error{ErrorCode::io, "standard output was closed"});
  if (!options.json) {
    std::fputc('\n', stdout);
    std::fflush(stdout);
    print_summary(summary);
  } else if (!print_json(to_json(*request, output, summary))) {
    return fail(Error{ErrorCode::io, "standard output was closed"});
  }
  return summary.interrupted ? exit_interrupted : exit_ok;
}

}  // namespace

void add_run_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("run", "Generate text from a prompt");
  auto options = std::make_shared<RunOptions>();
  add_model_options(*command, options->model);
  add_prompt_options(*command, options->prompt);
  command->add_option("--prefill-chunk", options->prefill_chunk, "Prompt tokens per step; the result has the same bits")
      ->check(CLI::Range(1u, limits::step_rows_max))
      ->capture_default_str();
  command->add_flag("--no-weight-check", options->no_weight_check,
                    "Do not compare the weights with their checksums in the background");
  command->add_flag("--json", options->json, "Print one JSON object at the end instead of streaming text");
  add_sampling_options(*command, options->sampling);
  command->callback([=, &action] {
    check_generation_options(*command, options->prompt, options->sampling);
    action = [options] { return run(*options); };
  });
}

}  // namespace tessera::app
