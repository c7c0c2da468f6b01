#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/progress_bar.hpp"
#include "app/report.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/tensor/dtype.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera::app {

namespace {

struct ImportCommand {
  std::string source, destination, dtype, head_dtype;
  std::string tokenizer, name, chat_template;
  bool json = false;
};

struct SynthCommand {
  std::string shape, destination, dtype = "q8", head_dtype, format = "tessera";
  std::uint64_t seed = 1;
  bool json = false;
};

int print_report(const Result<ImportReport>& report, const std::string& destination, double seconds, bool json) {
  if (!report) return fail(report.error());
  if (json) {
    const bool printed = print_json({{"path", destination},
                                     {"content_id", report->content_id},
                                     {"bytes", report->bytes_written},
                                     {"resumed_bytes", report->bytes_resumed},
                                     {"notices", report->notices},
                                     {"timings", {{"seconds", seconds}}}});
    return printed ? exit_ok : fail(Error{ErrorCode::io, "standard output was closed"});
  }
  for (const std::string& notice : report->notices) std::fprintf(stderr, "tessera: note: %s\n", notice.c_str());
  std::printf("%s: %s in %.1f s", destination.c_str(), human_bytes(static_cast<double>(report->bytes_written)).c_str(),
              seconds);
  if (report->bytes_resumed > 0) {
    std::printf(" (%s of it from an interrupted import)",
                human_bytes(static_cast<double>(report->bytes_resumed)).c_str());
  }
  if (!report->content_id.empty()) std::printf(", content id %s", report->content_id.c_str());
  std::printf("\n");
  return exit_ok;
}

ImportOptions import_options(const std::string& dtype, const std::string& head_dtype, const std::string& name,
                             ProgressBar& bar) {
  ImportOptions options;
  options.dtype = parse_dtype(dtype);  // empty: the one of the source
  options.head_dtype = parse_dtype(head_dtype);
  options.name = name;
  options.progress = [&bar](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total);
    return !interrupted();
  };
  return options;
}

int run_import(const ImportCommand& command) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  ProgressBar bar("importing", clock);
  ImportOptions options = import_options(command.dtype, command.head_dtype, command.name, bar);
  options.tokenizer_path = command.tokenizer;
  options.resumable = true;
  options.chat_template_path = command.chat_template;
  const Result<ImportReport> report = import_model(command.source, command.destination, options);
  bar.clear();
  return print_report(report, command.destination, seconds_between(start, clock.now()), command.json);
}

Result<ImportReport> synthesise(const SynthCommand& command, ProgressBar& bar) {
  TESSERA_TRY(auto shape, synthetic_shape(command.shape));
  TESSERA_TRY(auto tokenizer_data, synthetic_byte_tokenizer(shape.vocab_size));
  TESSERA_TRY(auto tokenizer, Tokenizer::create(std::move(tokenizer_data), command.shape));
  const std::unique_ptr<WeightSource> source = synthetic_source(shape, command.seed);
  const ImportOptions options = import_options(command.dtype, command.head_dtype, command.shape, bar);
  if (command.format == "gguf") return write_gguf(*source, command.destination, options);
  return write_checkpoint(*source, command.destination, options, tokenizer.serialize());
}

int run_synth(const SynthCommand& command) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  ProgressBar bar("writing", clock);
  const Result<ImportReport> report = synthesise(command, bar);
  bar.clear();
  return print_report(report, command.destination, seconds_between(start, clock.now()), command.json);
}

CLI::Option* add_dtype(CLI::App& command, std::string& dtype, const std::string& otherwise) {
  std::vector<std::string> names;
  for (const DType known : all_dtypes) names.push_back(to_string(known));
  return command
      .add_option("--dtype", dtype,
                  "Storage of the weights: whole or half floats, or 8 or 4 bits in blocks of 32" + otherwise)
      ->check(CLI::IsMember(names));
}

void add_head_dtype(CLI::App& command, std::string& dtype) {
  command
      .add_option("--head-dtype", dtype,
                  "Storage of the head, or of an embedding that is the head too (default: as the other weights, but q8 "
                  "beside q4, unless SRC holds it in Q4_0)")
      ->check(CLI::IsMember({to_string(DType::q4), to_string(DType::q8)}));
}

void add_import(CLI::App& app, Action& action) {
  auto* const command =
      app.add_subcommand("import", "Turn a GGUF, Hugging Face safetensors or llama2.c .bin model into a checkpoint");
  auto options = std::make_shared<ImportCommand>();
  command
      ->add_option("SRC", options->source,
                   "A .gguf file (of a split model the first), a .safetensors file, an index .json, a folder with "
                   "config.json, or a llama2.c .bin file")
      ->required();
  command
      ->add_option(
          "DST", options->destination,
          "Checkpoint to write (.h5); appears only when it is complete. An interrupted import goes on where it stopped")
      ->required();
  add_dtype(*command, options->dtype, " (default: f32; of a GGUF file what is nearest to its own)");
  add_head_dtype(*command, options->head_dtype);
  command->add_option("--tokenizer", options->tokenizer,
                      "Tokenizer to put inside: tokenizer.json, tokenizer.model, tiktoken "
                      "ranks, GGUF, llama2.c's .bin, or a folder (default: SRC's own)");
  command->add_option("--chat-template", options->chat_template,
                      "Chat template (Jinja) to put inside (default: the model's own, if it has one)");
  command->add_option("--name", options->name, "Name of the model (default: from the file name)");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_import(*options); }; });
}

void add_synth(CLI::App& app, Action& action) {
  auto* const command =
      app.add_subcommand("synth", "Write a model of random weights, for measurements; its text is noise");
  auto options = std::make_shared<SynthCommand>();
  std::string names;
  for (const std::string& name : synthetic_shape_names()) names += (names.empty() ? "" : ", ") + name;
  command->add_option("SHAPE", options->shape, "One of: " + names)->required();
  command->add_option("DST", options->destination, "File to write; appears only when it is complete")->required();
  add_dtype(*command, options->dtype, "")->capture_default_str();
  add_head_dtype(*command, options->head_dtype);
  command->add_option("--seed", options->seed, "Same seed, same weights")->capture_default_str();
  command->add_option("--format", options->format, "tessera, or gguf with the same weights for other programs")
      ->check(CLI::IsMember({"tessera", "gguf"}))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options] { return run_synth(*options); }; });
}

}  // namespace

void add_import_commands(CLI::App& app, Action& action) {
  add_import(app, action);
  add_synth(app, action);
}

}  // namespace tessera::app
