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
#include "runtime/base/clock.hpp"
#include "runtime/importers/export_model.hpp"

namespace tessera::app {

namespace {

struct ExportCommand {
  std::string source, destination, dtype;
  std::uint64_t file_mb = 5000;
  bool json = false;
};

Result<ExportReport> run(const ExportCommand& command, ProgressBar& bar) {
  TESSERA_TRY(auto source, open_source(command.source));
  TESSERA_TRY(const auto checkpoint, Checkpoint::open(std::move(source)));
  ExportOptions options;
  options.dtype = parse_export_dtype(command.dtype);  // empty: the one of the checkpoint
  options.file_bytes_max = command.file_mb * 1'000'000;
  options.progress = [&bar](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total);
    return !interrupted();
  };
  return export_model(*checkpoint, command.destination, options);
}

int run_export(const ExportCommand& command) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  ProgressBar bar("exporting", clock);
  const Result<ExportReport> report = run(command, bar);
  bar.clear();
  if (!report) return fail(report.error());
  const double seconds = seconds_between(start, clock.now());
  if (command.json) {
    const bool printed = print_json({{"path", command.destination},
                                     {"bytes", report->bytes_written},
                                     {"files", report->files},
                                     {"notices", report->notices},
                                     {"timings", {{"seconds", seconds}}}});
    return printed ? exit_ok : fail(Error{ErrorCode::io, "standard output was closed"});
  }
  std::printf("%s: %s, weights in %u file%s in %.1f s\n", command.destination.c_str(),
              human_bytes(static_cast<double>(report->bytes_written)).c_str(), report->files,
              report->files == 1 ? "" : "s", seconds);
  for (const std::string& notice : report->notices) std::fprintf(stderr, "tessera: note: %s\n", notice.c_str());
  return exit_ok;
}

}  // namespace

void add_export_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("export", "Write a checkpoint as a Hugging Face folder");
  auto options = std::make_shared<ExportCommand>();
  command->add_option("MODEL", options->source, "Checkpoint (.h5)")->required();
  command
      ->add_option(
          "DIR", options->destination,
          "Folder to write, new or empty: config.json, safetensors, tokenizer and chat template; appears only when "
          "it is complete")
      ->required();
  command
      ->add_option("--dtype", options->dtype,
                   "f32, bf16 or f16 (default: bf16 of a bf16 checkpoint, else f32; both are exact)")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  command->add_option("--file-mb", options->file_mb, "Weights in one file, in MB; more go into further files")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000}))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_export(*options); }; });
}

}  // namespace tessera::app
