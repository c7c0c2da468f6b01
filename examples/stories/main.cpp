// tessera-stories: writes a corpus of small children's stories, for the training of small models.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/progress_bar.hpp"
#include "app/report.hpp"
#include "examples/stories/corpus.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::stories {

namespace {

struct Command {
  CorpusOptions corpus;
  std::string out;
  std::uint64_t show = 0;
  bool json = false;
};

nlohmann::json to_json(const PartReport& part) {
  return {{"path", part.path}, {"stories", part.stories}, {"bytes", part.bytes}, {"words", part.words}};
}

void print_part(const PartReport& part) {
  std::printf("%s: %llu stories, %llu words, %s\n", part.path.c_str(), static_cast<unsigned long long>(part.stories),
              static_cast<unsigned long long>(part.words), app::human_bytes(static_cast<double>(part.bytes)).c_str());
}

int show(const Command& command) {
  CorpusOptions options = command.corpus;
  options.stories = command.show;
  bool open = true;
  for_each_story(options, [&](const Story& story, Part) {
    open = app::print_text(story.text + "\n\n");
    return open && !app::interrupted();
  });
  return open ? app::exit_ok : app::fail_closed_stdout();
}

int write(const Command& command) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  app::ProgressBar bar("writing stories", clock);
  const Result<CorpusReport> report =
      write_corpus(command.out, command.corpus, [&](std::uint64_t done, std::uint64_t total) {
        bar.update(done, total);
        return !app::interrupted();
      });
  bar.clear();
  if (!report) return app::fail(report.error());
  if (command.json) {
    const bool printed = app::print_json({{"seed", command.corpus.seed},
                                          {"train", to_json(report->train)},
                                          {"valid", to_json(report->valid)},
                                          {"plots", report->plots},
                                          {"timings", {{"seconds", seconds_between(start, clock.now())}}}});
    return printed ? app::exit_ok : app::fail_closed_stdout();
  }
  print_part(report->train);
  print_part(report->valid);
  return app::exit_ok;
}

int run(int argc, char** argv) {
  CLI::App cli("Writes small children's stories, for the training of small models. The same seed gives the same bytes.",
               "tessera-stories");
  Command command;
  cli.add_option("--seed", command.corpus.seed, "Another seed, other stories")->capture_default_str();
  auto* const bytes = cli.add_option("--bytes", command.corpus.bytes, "Write about so many bytes (20MB, 512KB, …)")
                          ->transform(CLI::AsSizeValue(true));
  auto* const stories = cli.add_option("--stories", command.corpus.stories, "Write so many stories");
  auto* const out =
      cli.add_option("--out", command.out, "Folder for train.txt and valid.txt; made if it does not exist");
  cli.add_option("--valid-percent", command.corpus.valid_percent, "Share of the stories that go into valid.txt")
      ->capture_default_str();
  auto* const some = cli.add_option("--show", command.show, "Print so many stories instead of writing files")
                         ->check(CLI::Range(std::uint64_t{1}, corpus_stories_max));
  cli.add_flag("--json", command.json, "Print one JSON object");
  try {
    cli.parse(argc, argv);
    if (some->count() == 0 && (out->count() == 0 || bytes->count() + stories->count() == 0)) {
      throw CLI::RequiredError("--out FOLDER with --bytes or --stories (or --show)");
    }
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? app::exit_ok : app::exit_usage;
  }
  app::install_interrupt_handlers();
  return some->count() > 0 ? show(command) : write(command);
}

}  // namespace

}  // namespace tessera::stories

int main(int argc, char** argv) {
  try {
    return tessera::stories::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tessera-stories: unexpected failure: %s\n", error.what());
    return tessera::app::exit_failure;
  }
}
