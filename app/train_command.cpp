#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/numa_option.hpp"
#include "app/progress_bar.hpp"
#include "app/report.hpp"
#include "app/status_line.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/device/topology.hpp"
#include "runtime/training/training_run.hpp"

namespace tessera::app {

namespace {

struct TrainCommand {
  std::string config;
  std::uint32_t threads = 0;
  std::optional<std::uint32_t> numa;
  std::string isa = "auto";
  bool restart = false;
  bool json = false;
};

std::string duration_text(double seconds) {
  char text[32];
  if (seconds < 90) {
    std::snprintf(text, sizeof text, "%.0f s", std::ceil(seconds));
  } else if (seconds < 5400) {
    std::snprintf(text, sizeof text, "%.0f min", std::ceil(seconds / 60));
  } else {
    std::snprintf(text, sizeof text, "%.1f h", seconds / 3600);
  }
  return text;
}

/// Shows how a training goes: on a terminal one line that changes, and everywhere a line for each validation.
class TrainingView {
 public:
  TrainingView(const TrainingRun& run, const Clock& clock)
      : run_(run), clock_(clock), line_(clock), first_step_(run.step()), start_(clock.now()) {}

  void show(const TrainingReport& report) {
    const std::string text = text_of(report);
    if (report.validation_loss) {
      line_.clear();
      std::fprintf(stderr, "%s\n", text.c_str());
    } else if (line_.on_terminal()) {
      line_.show(text);
    }
  }

  double seconds() const { return seconds_between(start_, clock_.now()); }
  double tokens_per_second() const {
    const std::uint64_t tokens = (run_.step() - first_step_) * run_.tokens_per_step();
    return seconds() > 0 ? static_cast<double>(tokens) / seconds() : 0;
  }

 private:
  std::string text_of(const TrainingReport& report) const {
    char text[200];
    std::string validation;
    if (report.validation_loss) {
      std::snprintf(text, sizeof text, ", validation %.4f", *report.validation_loss);
      validation = text;
    }
    const double rate = tokens_per_second();
    const auto tokens_left = static_cast<double>((run_.steps() - report.step) * run_.tokens_per_step());
    std::snprintf(text, sizeof text, "step %llu of %llu: loss %.4f%s, %.0f tokens/s, %s left",
                  static_cast<unsigned long long>(report.step), static_cast<unsigned long long>(run_.steps()),
                  report.loss, validation.c_str(), rate, rate > 0 ? duration_text(tokens_left / rate).c_str() : "?");
    return text;
  }

  const TrainingRun& run_;
  const Clock& clock_;
  StatusLine line_;
  std::uint64_t first_step_;
  TimePoint start_;
};

Result<std::unique_ptr<TrainingRun>> open_run(const TrainCommand& command, const Clock& clock) {
  TESSERA_TRY(const TrainConfig config, load_train_config(command.config));
  TESSERA_CHECK(place_process(command.numa));
  TrainingSettings settings;
  settings.threads = command.threads;
  settings.isa = command.isa == "auto" ? std::nullopt : parse_isa(command.isa);
  settings.restart = command.restart;
  std::unique_ptr<ProgressBar> bar;
  std::string reading;
  settings.reading = [&](const std::string& path, std::uint64_t done, std::uint64_t total) {
    if (std::exchange(reading, path) != path || !bar) {
      bar.reset();
      bar = std::make_unique<ProgressBar>("reading " + path, clock);
    }
    bar->update(done, total);
    return !interrupted();
  };
  return TrainingRun::open(config, settings);
}

int report_interrupted(const TrainCommand& command, const TrainingRun& run) {
  std::fprintf(stderr,
               "tessera: stopped after step %llu of %llu, which is saved; the same command goes on: tessera train %s\n",
               static_cast<unsigned long long>(run.step()), static_cast<unsigned long long>(run.steps()),
               command.config.c_str());
  return exit_interrupted;
}

int report_done(const TrainCommand& command, const TrainingRun& run, const TrainingView& view,
                const std::vector<TrainedModel>& models) {
  const auto& validations = run.curves().validations();
  if (command.json) {
    nlohmann::json written = nlohmann::json::array();
    for (const TrainedModel& model : models) {
      written.push_back({{"path", model.path}, {"dtype", to_string(model.dtype)}, {"content_id", model.content_id}});
    }
    nlohmann::json result = {
        {"models", written},
        {"weights", run.weights()},
        {"steps", run.steps()},
        {"tokens_per_step", run.tokens_per_step()},
        {"corpus_tokens", run.corpus_tokens()},
        {"loss", run.curves().points().empty() ? nlohmann::json() : nlohmann::json(run.curves().points().back().loss)},
        {"validation_loss", validations.empty() ? nlohmann::json() : nlohmann::json(validations.back().loss)},
        {"timings", {{"seconds", view.seconds()}, {"tokens_per_second", view.tokens_per_second()}}}};
    return print_json(result) ? exit_ok : fail_closed_stdout();
  }
  std::printf("trained %.2f million weights for %llu steps\n", static_cast<double>(run.weights()) / 1e6,
              static_cast<unsigned long long>(run.steps()));
  if (!validations.empty()) {
    std::printf("validation loss %.4f, perplexity %.3f\n", validations.back().loss, std::exp(validations.back().loss));
  }
  for (const TrainedModel& model : models)
    std::printf("%s: content id %s\n", model.path.c_str(), model.content_id.c_str());
  return exit_ok;
}

int train(const TrainCommand& command) {
  const SystemClock clock;
  const auto opened = open_run(command, clock);
  if (!opened) return fail(opened.error());
  TrainingRun& run = **opened;
  if (run.step() == run.steps()) {
    std::fprintf(stderr, "tessera: all %llu steps were done before; --restart would train anew\n",
                 static_cast<unsigned long long>(run.steps()));
  } else {
    std::fprintf(stderr, "%s %.2f million weights on %llu tokens from step %llu; about %s of memory\n",
                 run.step() == 0 ? "training" : "going on with", static_cast<double>(run.weights()) / 1e6,
                 static_cast<unsigned long long>(run.corpus_tokens()), static_cast<unsigned long long>(run.step()),
                 human_bytes(static_cast<double>(run.memory_bytes())).c_str());
  }
  TrainingView view(run, clock);
  const auto finished = run.train([&view](const TrainingReport& report) {
    view.show(report);
    return !interrupted();
  });
  if (!finished) return fail(finished.error());
  if (!*finished) return report_interrupted(command, run);
  const auto models = run.write_models();
  return models ? report_done(command, run, view, *models) : fail(models.error());
}

}  // namespace

void add_train_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("train", "Train a Llama-family model from texts, as a configuration says");
  auto options = std::make_shared<TrainCommand>();
  command
      ->add_option("CONFIG", options->config,
                   "What to train, on which texts, and how (TOML); examples/stories/train.toml shows every key")
      ->required();
  command->add_option("--threads", options->threads, "Compute threads (default: all cores that this process may use)")
      ->check(CLI::Range(1u, limits::threads_max));
  add_numa_option(*command, options->numa);
  command->add_option("--isa", options->isa, "Instruction set; the result has the same bits")
      ->check(CLI::IsMember({"auto", "scalar", "avx2", "avx512", "avx512bf16"}))
      ->capture_default_str();
  command->add_flag("--restart", options->restart, "Begin anew where a training was stopped before");
  command->add_flag("--json", options->json, "Print one JSON object at the end");
  command->footer(
      "Ctrl-C saves what is done and stops; the same command goes on, to the same bits. A killed training goes on "
      "from\n"
      "its last saved step.");
  command->callback([=, &action] { action = [options] { return train(*options); }; });
}

}  // namespace tessera::app
