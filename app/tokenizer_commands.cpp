#include <algorithm>
#include <cstdio>
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
#include "app/status_line.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/importers/output_file.hpp"
#include "runtime/text/bpe_trainer.hpp"
#include "runtime/text/tokenizer_json.hpp"
#include "runtime/text/word_counts.hpp"

namespace tessera::app {

namespace {

struct TrainCommand {
  std::vector<std::string> corpora;
  std::string out;
  std::uint32_t vocab_size = 1024;
  std::uint64_t pair_count_min = 2;
  bool json = false;
};

Result<WordCounts> count_words(const TrainCommand& command, const Clock& clock) {
  TESSERA_TRY(auto counts, WordCounts::create());
  for (const std::string& path : command.corpora) {
    ProgressBar bar("reading " + path, clock);
    TESSERA_CHECK(counts.add_file(path, [&bar](std::uint64_t done, std::uint64_t total) {
      bar.update(done, total);
      return !interrupted();
    }));
  }
  return counts;
}

Result<BpeVocabulary> train(const TrainCommand& command, const WordCounts& counts, const Clock& clock) {
  StatusLine line(clock);
  BpeTrainerOptions options;
  options.vocab_size = command.vocab_size;
  options.pair_count_min = command.pair_count_min;
  options.progress = [&line](std::uint32_t done, std::uint32_t total) {
    if (line.on_terminal()) line.show("merging: " + std::to_string(done) + " of " + std::to_string(total) + " pieces");
    return !interrupted();
  };
  return train_bpe(counts.words(), options);
}

Result<void> run_train(const TrainCommand& command) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  TESSERA_TRY(auto counts, count_words(command, clock));
  TESSERA_TRY(auto vocabulary, train(command, counts, clock));
  TESSERA_CHECK(write_text(command.out, tokenizer_json(vocabulary)));
  const double seconds = seconds_between(start, clock.now());
  const double bytes_per_token =
      static_cast<double>(counts.bytes()) / static_cast<double>(std::max<std::uint64_t>(1, vocabulary.corpus_tokens));
  if (command.json) {
    const bool printed = print_json({{"path", command.out},
                                     {"vocab_size", vocabulary.pieces.size()},
                                     {"merges", vocabulary.merges.size()},
                                     {"corpus_bytes", counts.bytes()},
                                     {"words", counts.word_count()},
                                     {"distinct_words", counts.words().size()},
                                     {"skipped_words", counts.skipped()},
                                     {"bytes_per_token", bytes_per_token},
                                     {"timings", {{"seconds", seconds}}}});
    if (!printed) return Error{ErrorCode::io, "standard output was closed"};
    return {};
  }
  std::printf("%s: %zu tokens from %s of text (%zu distinct words) in %.1f s; a token stands for %.2f bytes of it\n",
              command.out.c_str(), vocabulary.pieces.size(), human_bytes(static_cast<double>(counts.bytes())).c_str(),
              counts.words().size(), seconds, bytes_per_token);
  if (counts.skipped() > 0) {
    std::fprintf(stderr, "tessera: %llu words were too long to learn from\n",
                 static_cast<unsigned long long>(counts.skipped()));
  }
  return {};
}

void add_train(CLI::App& group, Action& action) {
  auto* const command = group.add_subcommand("train", "Learn a byte-level BPE vocabulary from text files");
  auto options = std::make_shared<TrainCommand>();
  command
      ->add_option("CORPUS", options->corpora,
                   "Text files in UTF-8; <|endoftext|> and the end of a file separate documents")
      ->required();
  command->add_option("--out", options->out, "tokenizer.json to write; appears only when it is complete")->required();
  command
      ->add_option("--vocab-size", options->vocab_size,
                   "Tokens, with <|endoftext|> (id 0) and the 256 bytes (1 to 256): 257 to 65536")
      ->capture_default_str();
  command->add_option("--min-count", options->pair_count_min, "How often a pair must occur to become a token")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] {
    action = [options] {
      const Result<void> done = run_train(*options);
      return done ? static_cast<int>(exit_ok) : fail(done.error());
    };
  });
}

}  // namespace

void add_tokenizer_commands(CLI::App& app, Action& action) {
  auto* const group = app.add_subcommand("tokenizer", "Make a tokenizer");
  group->require_subcommand(1);
  add_train(*group, action);
}

}  // namespace tessera::app
