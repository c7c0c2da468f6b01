#include <cstdio>
#include <memory>
#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/progress_bar.hpp"
#include "app/report.hpp"
#include "app/run_options.hpp"
#include "runtime/model/perplexity.hpp"

namespace tessera::app {

namespace {

struct Options {
  ModelOptions model;
  std::string text_file;
  std::uint32_t window = 0;
  bool special = false;
  bool json = false;
};

Result<PerplexityReport> measure(const Options& options, const Clock& clock) {
  TESSERA_TRY(auto model, open_model(options.model.model, clock));
  if (!model.tokenizer) {
    return Error{ErrorCode::invalid_argument,
                 options.model.model + " has no tokenizer, so it cannot read text; import it with --tokenizer FILE"};
  }
  TESSERA_TRY(auto text, read_text_file(options.text_file));
  const std::vector<TokenId> tokens =
      model.tokenizer->encode(text, {.add_bos = false, .parse_special = options.special});
  PerplexityOptions perplexity_options;
  perplexity_options.window = options.window;
  if (model.tokenizer->start_id() >= 0) perplexity_options.window_start = model.tokenizer->start_id();
  const std::uint32_t context = model.checkpoint->manifest().shape.context_length;
  TESSERA_TRY(auto replica,
              start_replica(model, options.model, options.window == 0 ? context : std::min(context, options.window)));
  ProgressBar bar("perplexity", clock);
  return perplexity(*replica, tokens, perplexity_options, [&](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total);
    return !interrupted();
  });
}

int run(const Options& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  const Result<PerplexityReport> report = measure(options, clock);
  if (!report) return fail(report.error());
  const double seconds = seconds_between(start, clock.now());
  if (options.json) {
    const bool printed = print_json({{"perplexity", report->perplexity},
                                     {"mean_negative_log_probability", report->mean_negative_log_probability},
                                     {"scored_tokens", report->scored_tokens},
                                     {"windows", report->windows},
                                     {"timings", {{"seconds", seconds}}}});
    return printed ? exit_ok : fail(Error{ErrorCode::io, "standard output was closed"});
  }
  std::printf("perplexity %.6f over %llu tokens in %u windows (%.1f tokens/s)\n", report->perplexity,
              static_cast<unsigned long long>(report->scored_tokens), report->windows,
              static_cast<double>(report->scored_tokens) / seconds);
  return exit_ok;
}

}  // namespace

void add_perplexity_command(CLI::App& app, Action& action) {
  auto* const command =
      app.add_subcommand("perplexity", "How well a model predicts a text: exp of the mean negative log-probability");
  auto options = std::make_shared<Options>();
  add_model_options(*command, options->model);
  command->add_option("FILE", options->text_file, "Text file (- for standard input)")->required();
  command->add_option("--window", options->window,
                      "Tokens per window, start token included (default: the model's context)");
  command->add_flag("--special", options->special,
                    "Names of special tokens in the text, such as <|endoftext|>, stand for these tokens");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run(*options); }; });
}

}  // namespace tessera::app
