#include <charconv>
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
  std::string prompt, prompt_file;
  std::vector<TokenId> prompt_ids;
  std::uint32_t tokens_max = 256;
  std::uint32_t prefill_chunk = limits::step_rows_max;
  SamplingParameters sampling;
  std::vector<std::string> logit_bias;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool no_bos = false;
  bool no_weight_check = false;
  bool json = false;
  bool seed_given = false, prompt_given = false;
};

/// What one run produced so far; survives an interruption.
struct RunOutput {
  std::vector<TokenId> ids;
  std::vector<float> log_probabilities;
  std::string text;
  bool stdout_lost = false;
};

/// "TOKEN=BIAS"
Result<std::pair<TokenId, float>> parse_logit_bias(const std::string& text) {
  const std::size_t equals = text.find('=');
  TokenId token = 0;
  float bias = 0;
  if (equals != std::string::npos) {
    const char *const begin = text.data(), *const middle = begin + equals, *const end = begin + text.size();
    const auto [token_end, token_error] = std::from_chars(begin, middle, token);
    const auto [bias_end, bias_error] = std::from_chars(middle + 1, end, bias);
    if (token_error == std::errc{} && bias_error == std::errc{} && token_end == middle && bias_end == end)
      return std::pair{token, bias};
  }
  return Error{ErrorCode::invalid_argument, "--logit-bias " + text + ": write TOKEN=BIAS, for example 42=-5.5"};
}

Result<std::vector<TokenId>> prompt_tokens(const RunOptions& options, const OpenModel& model) {
  if (!options.prompt_ids.empty()) return options.prompt_ids;
  std::string text = options.prompt;
  if (!options.prompt_file.empty()) {
    TESSERA_TRY(text, read_text_file(options.prompt_file));
  }
  if (text.size() > limits::prompt_bytes_max) {
    return Error{ErrorCode::exhausted,
                 "the prompt is longer than " + std::to_string(limits::prompt_bytes_max >> 20) + " MiB; shorten it"};
  }
  if (!model.tokenizer) {
    return Error{ErrorCode::invalid_argument,
                 options.model.model +
                     " has no tokenizer, so it cannot read text; import it with --tokenizer FILE, "
                     "or give the tokens with --prompt-ids"};
  }
  return model.tokenizer->encode(text, {.add_bos = !options.no_bos});
}

Result<GenerationRequest> build_request(const RunOptions& options, const OpenModel& model) {
  GenerationRequest request;
  TESSERA_TRY(request.prompt, prompt_tokens(options, model));
  request.tokens_max = options.tokens_max;
  request.prefill_chunk = options.prefill_chunk;
  request.sampling = options.sampling;
  for (const std::string& bias : options.logit_bias) {
    TESSERA_TRY(auto parsed, parse_logit_bias(bias));
    request.sampling.logit_bias.push_back(parsed);
  }
  // 53 bits: JSON readers that keep numbers as doubles can hand the seed back unchanged.
  if (!options.seed_given) request.sampling.seed = SystemEntropy().next_seed() >> 11;
  if (!options.ignore_eos && model.tokenizer) request.end_tokens = model.tokenizer->data().eos;
  TESSERA_CHECK(validate(request, model.checkpoint->manifest().shape));
  return request;
}

/// Takes tokens as they come: decodes, streams, watches for stop strings.
class TokenPrinter {
 public:
  TokenPrinter(const RunOptions& options, const OpenModel& model, TokenId last_prompt_token, RunOutput& output)
      : stream_(options.stop),
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

void add_sampling_options(CLI::App& command, RunOptions& options) {
  const char* const group = "Sampling";
  SamplingParameters& sampling = options.sampling;
  command.add_option("--temperature", sampling.temperature, "0 always takes the best token")
      ->group(group)
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "Keep the K best tokens (0: all)")->group(group)->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "Keep the fewest best tokens with this probability together")
      ->group(group)
      ->capture_default_str();
  command.add_option("--min-p", sampling.min_p, "Drop tokens below this share of the best one's probability")
      ->group(group)
      ->capture_default_str();
  command
      .add_option("--repeat-penalty", sampling.repeat_penalty, "Divides logits of tokens in prompt and output (1: off)")
      ->group(group)
      ->capture_default_str();
  command.add_option("--presence-penalty", sampling.presence_penalty, "Subtracted once from tokens in the output")
      ->group(group)
      ->capture_default_str();
  command.add_option("--frequency-penalty", sampling.frequency_penalty, "Subtracted per occurrence in the output")
      ->group(group)
      ->capture_default_str();
  command.add_option("--logit-bias", options.logit_bias, "TOKEN=BIAS, added to a raw logit; may be repeated")
      ->group(group);
  command
      .add_option("--seed", sampling.seed, "Same seed, same tokens, on any machine (default: drawn, shown by --json)")
      ->group(group)
      ->check([](const std::string& text) {
        return std::string(text.starts_with('-') ? "a seed must be 0 or more; leave the option out to draw one" : "");
      });
}

}  // namespace

void add_run_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("run", "Generate text from a prompt");
  auto options = std::make_shared<RunOptions>();
  add_model_options(*command, options->model);
  auto* const prompt = command->add_option("-p,--prompt", options->prompt, "Prompt text");
  auto* const file =
      command->add_option("-f,--file", options->prompt_file, "Read the prompt from a file (- for standard input)");
  auto* const ids = command
                        ->add_option("--prompt-ids", options->prompt_ids,
                                     "Prompt as token ids, separated by commas; nothing is added")
                        ->delimiter(',');
  prompt->excludes(file)->excludes(ids);
  file->excludes(ids);
  command->add_option("-n,--tokens", options->tokens_max, "Tokens to generate at most; 0 only evaluates the prompt")
      ->capture_default_str();
  command->add_option("--stop", options->stop, "Stop before this text; may be repeated")->expected(1)->take_all();
  command->add_flag("--ignore-eos", options->ignore_eos, "Go on after the model's end token");
  command->add_flag("--no-bos", options->no_bos, "Do not put the model's start token before the prompt");
  command->add_option("--prefill-chunk", options->prefill_chunk, "Prompt tokens per step; the result has the same bits")
      ->check(CLI::Range(1u, limits::step_rows_max))
      ->capture_default_str();
  command->add_flag("--no-weight-check", options->no_weight_check,
                    "Do not compare the weights with their checksums in the background");
  command->add_flag("--json", options->json, "Print one JSON object at the end instead of streaming text");
  add_sampling_options(*command, *options);
  command->callback([=, &action] {
    if (prompt->count() + file->count() + ids->count() == 0) {
      throw CLI::ValidationError("run", "give a prompt: -p TEXT, -f FILE or --prompt-ids IDS");
    }
    if (options->stop.size() > limits::stop_strings_max) {
      throw CLI::ValidationError("--stop", "at most " + std::to_string(limits::stop_strings_max) + " stop strings");
    }
    options->seed_given = command->get_option("--seed")->count() > 0;
    action = [options] { return run(*options); };
  });
}

}  // namespace tessera::app
