#include "app/sampling_options.hpp"

#include <charconv>
#include <utility>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "app/run_options.hpp"
#include "runtime/base/limits.hpp"

namespace tessera::app {

namespace {

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

}  // namespace

void add_prompt_options(CLI::App& command, PromptOptions& options) {
  auto* const prompt = command.add_option("-p,--prompt", options.text, "Prompt text");
  auto* const file =
      command.add_option("-f,--file", options.file, "Read the prompt from a file (- for standard input)");
  auto* const ids =
      command.add_option("--prompt-ids", options.ids, "Prompt as token ids, separated by commas; nothing is added")
          ->delimiter(',');
  prompt->excludes(file)->excludes(ids);
  file->excludes(ids);
  command.add_option("-n,--tokens", options.tokens_max, "Tokens to generate at most; 0 only evaluates the prompt")
      ->capture_default_str();
  command.add_option("--stop", options.stop, "Stop before this text; may be repeated")->expected(1)->take_all();
  command.add_flag("--ignore-eos", options.ignore_eos, "Go on after the model's end token");
  command.add_flag("--no-bos", options.no_bos, "Do not put the model's start token before the prompt");
}

void add_sampling_options(CLI::App& command, SamplingOptions& options) {
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

void check_generation_options(const CLI::App& command, const PromptOptions& prompt, SamplingOptions& sampling,
                              bool prompt_is_optional) {
  if (!prompt_is_optional && command.count("--prompt") + command.count("--file") + command.count("--prompt-ids") == 0) {
    throw CLI::ValidationError(command.get_name(), "give a prompt: -p TEXT, -f FILE or --prompt-ids IDS");
  }
  if (prompt.stop.size() > limits::stop_strings_max) {
    throw CLI::ValidationError("--stop", "at most " + std::to_string(limits::stop_strings_max) + " stop strings");
  }
  sampling.seed_given = command.count("--seed") > 0;
}

Result<std::string> prompt_text(const PromptOptions& options) {
  std::string text = options.text;
  if (!options.file.empty()) {
    TESSERA_TRY(text, read_text_file(options.file));
  }
  if (text.size() > limits::prompt_bytes_max) {
    return Error{ErrorCode::exhausted,
                 "the prompt is longer than " + std::to_string(limits::prompt_bytes_max >> 20) + " MiB; shorten it"};
  }
  return text;
}

Result<SamplingParameters> sampling_parameters(const SamplingOptions& options) {
  SamplingParameters sampling = options.sampling;
  for (const std::string& bias : options.logit_bias) {
    TESSERA_TRY(auto parsed, parse_logit_bias(bias));
    sampling.logit_bias.push_back(parsed);
  }
  return sampling;
}

}  // namespace tessera::app
