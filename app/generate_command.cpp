#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/cluster_options.hpp"
#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/report.hpp"
#include "app/sampling_options.hpp"
#include "runtime/base/decimal.hpp"

namespace tessera::app {

namespace {

using client::GenerateEvent;

/// How often Ctrl-C is looked for while no token comes.
constexpr std::chrono::milliseconds interruption_check{100};

struct GenerateOptions {
  ClusterOptions cluster;
  std::string deployment;
  PromptOptions prompt;
  SamplingOptions sampling;
  std::string idempotency_key;
  std::uint32_t deadline_s = 0;
  bool json = false;
  bool events = false;
};

/// What came so far; survives an interruption.
struct Output {
  std::vector<client::TokenId> ids;
  std::vector<float> log_probabilities;
  std::string text;
  bool stdout_lost = false;
};

Result<client::GenerateRequest> build_request(const GenerateOptions& options) {
  client::GenerateRequest request;
  request.deployment = options.deployment;
  TESSERA_TRY(request.prompt, prompt_text(options.prompt));
  request.prompt_ids = options.prompt.ids;
  request.add_bos = !options.prompt.no_bos;
  request.tokens_max = options.prompt.tokens_max;
  request.stop = options.prompt.stop;
  request.ignore_eos = options.prompt.ignore_eos;
  request.idempotency_key = options.idempotency_key;
  request.deadline = std::chrono::seconds(options.deadline_s);
  TESSERA_TRY(const SamplingParameters sampling, sampling_parameters(options.sampling));
  request.sampling = {.temperature = sampling.temperature,
                      .top_k = sampling.top_k,
                      .top_p = sampling.top_p,
                      .min_p = sampling.min_p,
                      .repeat_penalty = sampling.repeat_penalty,
                      .presence_penalty = sampling.presence_penalty,
                      .frequency_penalty = sampling.frequency_penalty,
                      .logit_bias = sampling.logit_bias};
  if (options.sampling.seed_given) request.sampling.seed = sampling.seed;
  return request;
}

nlohmann::json to_json(const GenerateEvent& event) {
  switch (event.kind) {
    case GenerateEvent::Kind::token:
      return {{"event", "token"},
              {"index", event.index},
              {"id", event.token},
              {"logprob", decimal_of(event.log_probability)},
              {"text", event.text}};
    case GenerateEvent::Kind::resumed:
      return {{"event", "resumed"}, {"index", event.index}, {"node", event.node}};
    case GenerateEvent::Kind::finished:
      return {
          {"event", "finished"}, {"tokens", event.index}, {"reason", to_string(event.reason)}, {"text", event.text}};
  }
  return {};
}

/// One event, as the options want it on stdout.
void take(const GenerateEvent& event, const GenerateOptions& options, Output& output) {
  if (event.kind == GenerateEvent::Kind::token) {
    output.ids.push_back(event.token);
    output.log_probabilities.push_back(event.log_probability);
  }
  output.text += event.text;
  if (output.stdout_lost) return;
  if (options.events) {
    output.stdout_lost = !print_json(to_json(event));
  } else if (!options.json && !event.text.empty()) {
    output.stdout_lost = !print_text(event.text);
  }
}

nlohmann::json to_json(const client::Generation& generation, const Output& output) {
  nlohmann::json log_probabilities = nlohmann::json::array();
  for (const float value : output.log_probabilities) log_probabilities.push_back(decimal_of(value));
  const client::GenerateSummary summary = generation.summary();
  return {{"prompt_ids", generation.prompt()},
          {"ids", output.ids},
          {"logprobs", log_probabilities},
          {"text", output.text},
          {"finish_reason", to_string(summary.reason)},
          {"seed", generation.seed()},
          {"job", generation.job()},
          {"resumptions", summary.resumptions},
          {"timings",
           {{"first_token_ms", summary.first_token_seconds * 1e3},
            {"decode_ms", summary.decode_seconds * 1e3},
            {"longest_pause_ms", summary.longest_pause_seconds * 1e3},
            {"total_ms", summary.seconds * 1e3}}}};
}

void print_summary(const client::Generation& generation) {
  const client::GenerateSummary summary = generation.summary();
  const double rate =
      summary.tokens > 1 && summary.decode_seconds > 0 ? (summary.tokens - 1) / summary.decode_seconds : 0;
  std::fprintf(stderr,
               "\n[%s] prompt: %zu tokens | first token: %.0f ms | decode: %u tokens, %.1f tokens/s | longest pause: "
               "%.0f ms | resumed %u times\n",
               to_string(summary.reason), generation.prompt().size(), summary.first_token_seconds * 1e3, summary.tokens,
               rate, summary.longest_pause_seconds * 1e3, summary.resumptions);
}

int run(const GenerateOptions& options) {
  auto request = build_request(options);
  if (!request) return fail(request.error());
  auto client = connect_cluster(options.cluster);
  if (!client) return fail(client.error());
  auto generation = client->generate(*request);
  if (!generation) return fail(to_error(generation.error()));
  Output output;
  bool cancelled = false;
  while (!generation->done()) {
    const auto event = generation->next(interruption_check);
    if (event) take(*event, options, output);
    if ((interrupted() || output.stdout_lost) && !std::exchange(cancelled, true)) generation->cancel();
  }
  if (output.stdout_lost) return fail_closed_stdout();
  const auto error = generation->error();
  if (options.events) {
    if (error) print_json({{"event", "failed"}, {"code", to_string(error->code)}, {"message", error->message}});
  } else if (options.json) {
    if (!error && !print_json(to_json(*generation, output))) return fail_closed_stdout();
  } else {
    if (!print_text("\n")) return fail_closed_stdout();
    if (!error) print_summary(*generation);
  }
  if (error) return fail(to_error(*error));
  return interrupted() ? exit_interrupted : exit_ok;
}

}  // namespace

void add_generate_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand(
      "generate", "Generate text with a deployment; the stream survives the death of the machines that compute it");
  auto options = std::make_shared<GenerateOptions>();
  add_cluster_option(*command, options->cluster);
  command->add_option("NAME", options->deployment, "Name of the deployment")->required();
  add_prompt_options(*command, options->prompt);
  command->add_option("--key", options->idempotency_key,
                      "Idempotency key: of two requests with one key only the first runs");
  command->add_option("--deadline", options->deadline_s, "Seconds that the whole stream may take (default: any)");
  auto* const json =
      command->add_flag("--json", options->json, "Print one JSON object at the end instead of streaming text");
  command->add_flag("--events", options->events, "Print one JSON object per token and event, as they come")
      ->excludes(json);
  add_sampling_options(*command, options->sampling);
  command->callback([=, &action] {
    check_generation_options(*command, options->prompt, options->sampling);
    action = [options] { return run(*options); };
  });
}

}  // namespace tessera::app
