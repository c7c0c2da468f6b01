#include <cstdio>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/chat_options.hpp"
#include "app/chat_session.hpp"
#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/process_memory.hpp"
#include "app/report.hpp"
#include "app/run_options.hpp"
#include "app/sampling_options.hpp"
#include "runtime/base/decimal.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/model/generation.hpp"
#include "runtime/model/weight_check.hpp"
#include "runtime/text/text_stream.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::app {

namespace {

struct RunOptions {
  ModelOptions model;
  PromptOptions prompt;
  SamplingOptions sampling;
  ChatOptions chat;
  std::uint32_t prefill_chunk = limits::step_rows_max;
  bool no_weight_check = false;
  bool json = false;
  bool has_prompt = false;  // on the command line

  bool is_interactive() const { return chat.enabled() && !has_prompt && chat.messages.empty(); }
};

/// What one run produced so far; survives an interruption.
struct RunOutput {
  std::vector<TokenId> ids;
  std::vector<float> log_probabilities;
  std::string text;
  bool stdout_lost = false;
};

Error no_tokenizer(const RunOptions& options) {
  return {ErrorCode::invalid_argument,
          options.model.model +
              " has no tokenizer, so it cannot read text; import it with --tokenizer FILE, "
              "or give the tokens with --prompt-ids"};
}

/// The conversation of the options, with the prompt as the user's last message.
Result<std::vector<TokenId>> conversation_tokens(const RunOptions& options, const OpenModel& model) {
  TESSERA_TRY(const ChatTemplate chat,
              chat_template_of(model.checkpoint->manifest().chat_template, options.model.model));
  TESSERA_TRY(ChatInput input, start_conversation(options.chat, &*model.tokenizer));
  if (options.has_prompt) {
    TESSERA_TRY(const std::string text, prompt_text(options.prompt));
    input.messages.push_back({{"role", "user"}, {"content", to_valid_utf8(text)}});
  }
  return chat_tokens(chat, input, *model.tokenizer);
}

Result<std::vector<TokenId>> prompt_tokens(const RunOptions& options, const OpenModel& model) {
  if (!options.prompt.ids.empty()) return options.prompt.ids;
  if (!model.tokenizer) return no_tokenizer(options);
  if (options.chat.enabled()) return conversation_tokens(options, model);
  TESSERA_TRY(const std::string text, prompt_text(options.prompt));
  return model.tokenizer->encode(text, {.add_bos = !options.prompt.no_bos});
}

/// All but the prompt.
Result<GenerationRequest> request_parameters(const RunOptions& options, const OpenModel& model) {
  GenerationRequest request;
  request.tokens_max = options.prompt.tokens_max;
  request.prefill_chunk = options.prefill_chunk;
  TESSERA_TRY(request.sampling, sampling_parameters(options.sampling));
  // 53 bits: JSON readers that keep numbers as doubles can hand the seed back unchanged.
  if (!options.sampling.seed_given) request.sampling.seed = SystemEntropy().next_seed() >> 11;
  if (!options.prompt.ignore_eos && model.tokenizer) request.end_tokens = model.tokenizer->data().eos;
  return request;
}

Result<GenerationRequest> build_request(const RunOptions& options, const OpenModel& model) {
  TESSERA_TRY(GenerationRequest request, request_parameters(options, model));
  TESSERA_TRY(request.prompt, prompt_tokens(options, model));
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
  for (const float value : output.log_probabilities) log_probabilities.push_back(decimal_of(value));
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

int run_chat(const RunOptions& options, const OpenModel& model, const Clock& clock) {
  if (!model.tokenizer) return fail(no_tokenizer(options));
  const auto request = request_parameters(options, model);
  if (!request) return fail(request.error());
  std::optional<WeightCheck> check;
  if (!options.no_weight_check) check.emplace(model.checkpoint);
  const ChatSessionOptions session{options.chat, options.model, *request, options.prompt.stop};
  return chat_interactively(session, model, clock, [&] { return check ? check->failure() : std::nullopt; });
}

int run(const RunOptions& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  Result<OpenModel> model = open_model(options.model.model, clock);
  if (!model) return fail(model.error());
  if (options.is_interactive()) return run_chat(options, *model, clock);
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

/// Options that do not go together.
void check_chat(const CLI::App& command, const RunOptions& options) {
  const bool has_chat_option = command.count("--system") + command.count("--tools") + command.count("--var") > 0;
  if (!options.chat.enabled() && has_chat_option) {
    throw CLI::ValidationError(command.get_name(), "--system, --tools and --var belong to --chat or --messages");
  }
  if (options.chat.enabled() && command.count("--prompt-ids") > 0) {
    throw CLI::ValidationError("--prompt-ids", "a chat needs text: give -p TEXT or -f FILE");
  }
  if (options.is_interactive() && options.json) {
    throw CLI::ValidationError("--json", "a chat from line to line has no JSON; give -p TEXT or --messages FILE");
  }
}

}  // namespace

void add_run_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("run", "Generate text from a prompt, or chat");
  auto options = std::make_shared<RunOptions>();
  add_model_options(*command, options->model);
  add_prompt_options(*command, options->prompt);
  command->add_option("--prefill-chunk", options->prefill_chunk, "Prompt tokens per step; the result has the same bits")
      ->check(CLI::Range(1u, limits::step_rows_max))
      ->capture_default_str();
  command->add_flag("--no-weight-check", options->no_weight_check,
                    "Do not compare the weights with their checksums in the background");
  command->add_flag("--json", options->json, "Print one JSON object at the end instead of streaming text");
  command
      ->add_flag("--chat", options->chat.chat,
                 "Chat: the prompt is the user's message in the model's chat template; without a prompt, line by line")
      ->group("Chat");
  add_chat_options(*command, options->chat);
  add_sampling_options(*command, options->sampling);
  command->callback([=, &action] {
    options->has_prompt = command->count("--prompt") + command->count("--file") > 0;
    check_chat(*command, *options);
    check_generation_options(*command, options->prompt, options->sampling, options->chat.enabled());
    action = [options] { return run(*options); };
  });
}

}  // namespace tessera::app
