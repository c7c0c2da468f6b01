#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/progress_bar.hpp"
#include "app/report.hpp"
#include "app/run_options.hpp"
#include "runtime/base/decimal.hpp"
#include "runtime/model/embedding.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::app {

namespace {

struct EmbedOptions {
  ModelOptions model;
  std::vector<std::string> texts;
  std::string file;
  std::string pooling;                           // empty: the checkpoint's
  bool normalize = false, no_normalize = false;  // neither: as the checkpoint says
  std::uint32_t tokens_max = 0;                  // 0: the checkpoint's
  bool truncate = false;
  bool json = false;
};

/// The texts of the command as tokens.
struct Texts {
  std::vector<std::vector<TokenId>> tokens;
  std::vector<bool> shortened;
  std::uint64_t total = 0;  ///< tokens
};

Error closed() { return {ErrorCode::io, "standard output was closed"}; }

/// One text a line; a line end at the end of the file begins no text.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

EmbeddingOptions chosen_options(const EmbedOptions& options, const Manifest& manifest) {
  EmbeddingOptions chosen = embedding_options(manifest);
  if (!options.pooling.empty()) chosen.pooling = *parse_pooling(options.pooling);
  if (options.normalize || options.no_normalize) chosen.normalised = options.normalize;
  if (options.tokens_max != 0) chosen.tokens_max = options.tokens_max;
  return chosen;
}

Result<Texts> read_texts(const EmbedOptions& options, const OpenModel& model, std::uint32_t tokens_max) {
  if (!model.tokenizer) {
    return Error{ErrorCode::invalid_argument,
                 options.model.model + " has no tokenizer, so it cannot read text; import it with --tokenizer FILE"};
  }
  std::vector<std::string> lines = options.texts;
  if (!options.file.empty()) {
    TESSERA_TRY(const std::string text, read_text_file(options.file));
    lines = lines_of(text);
    if (lines.empty()) {
      return Error{ErrorCode::invalid_argument, options.file + ": is empty; give a text in each line"};
    }
  }
  Texts texts;
  for (const std::string& line : lines) {
    std::vector<TokenId> tokens = model.tokenizer->encode(to_valid_utf8(line), {.add_bos = true, .add_eos = true});
    const std::size_t suffix = model.tokenizer->data().suffix.size();
    texts.shortened.push_back(options.truncate && shorten_text(tokens, tokens_max, suffix));
    texts.total += tokens.size();
    texts.tokens.push_back(std::move(tokens));
  }
  return texts;
}

/// "0.25 -1.5 …": the shortest numbers that read back as the same floats.
std::string line_of(std::span<const float> vector) {
  std::string line;
  char number[32];
  for (const float value : vector) {
    const auto [end, error] = std::to_chars(number, number + sizeof number, value);
    line.append(line.empty() ? "" : " ").append(number, end);
  }
  return line + "\n";
}

/// Writes vectors as they come.
class VectorPrinter {
 public:
  VectorPrinter(const EmbedOptions& options, const Texts& texts, const EmbeddingOptions& chosen, std::uint32_t dim)
      : json_(options.json), texts_(texts) {
    if (!json_) return;
    const nlohmann::json head = {{"dim", dim},
                                 {"normalised", chosen.normalised},
                                 {"pooling", to_string(chosen.pooling)},
                                 {"tokens_max", chosen.tokens_max}};
    // All but the closing brace: the rest follows.
    const std::string text = head.dump();
    print(text.substr(0, text.size() - 1) + ",\"embeddings\":[");
  }

  void put(std::size_t text, std::span<const float> vector) {
    if (!json_) return print(line_of(vector));
    nlohmann::json values = nlohmann::json::array();
    for (const float value : vector) values.push_back(decimal_of(value));
    const nlohmann::json entry = {{"embedding", std::move(values)},
                                  {"index", text},
                                  {"tokens", texts_.tokens[text].size()},
                                  {"truncated", static_cast<bool>(texts_.shortened[text])}};
    print((text == 0 ? "" : ",") + entry.dump());
  }

  void finish(double seconds) {
    if (!json_) return;
    const double rate = seconds > 0 ? static_cast<double>(texts_.total) / seconds : 0;
    const nlohmann::json timings = {{"seconds", seconds}, {"tokens", texts_.total}, {"tokens_per_second", rate}};
    print("],\"timings\":" + timings.dump() + "}\n");
  }

  bool lost() const { return lost_; }

 private:
  void print(const std::string& text) { lost_ = lost_ || !print_text(text); }

  bool json_;
  const Texts& texts_;
  bool lost_ = false;
};

void tell_what_was_cut(const Texts& texts, std::uint32_t tokens_max) {
  std::size_t count = 0;
  for (const bool shortened : texts.shortened) count += shortened ? 1 : 0;
  if (count == 0) return;
  std::fprintf(stderr, "tessera: %zu of %zu texts were longer than %u tokens and were cut\n", count,
               texts.tokens.size(), tokens_max);
}

Result<void> run_embed(const EmbedOptions& options) {
  const SystemClock clock;
  TESSERA_TRY(const OpenModel model, open_model(options.model.model, clock));
  const Manifest& manifest = model.checkpoint->manifest();
  const EmbeddingOptions chosen = chosen_options(options, manifest);
  TESSERA_TRY(const Texts texts, read_texts(options, model, chosen.tokens_max));
  TESSERA_CHECK(validate(texts.tokens, chosen, manifest.shape));
  TESSERA_TRY(auto replica, start_replica(model, options.model, embedding_positions(texts.tokens)));
  tell_what_was_cut(texts, chosen.tokens_max);
  const TimePoint start = clock.now();
  VectorPrinter printer(options, texts, chosen, manifest.shape.dim);
  {
    ProgressBar bar("embedding", clock);
    std::uint64_t done = 0;
    TESSERA_CHECK(embed(
        *replica, texts.tokens, chosen,
        [&](std::size_t text, std::span<const float> vector) {
          done += texts.tokens[text].size();
          printer.put(text, vector);
        },
        [&] {
          bar.update(done, texts.total);
          return !interrupted() && !printer.lost();
        }));
  }
  printer.finish(seconds_between(start, clock.now()));
  if (printer.lost()) return closed();
  return {};
}

}  // namespace

void add_embed_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("embed", "Turn texts into vectors, by an encoder or any other model");
  auto options = std::make_shared<EmbedOptions>();
  add_model_options(*command, options->model);
  auto* const text = command->add_option("--text", options->texts, "A text; may be given several times");
  auto* const file =
      command->add_option("--file,-f", options->file, "A text in each line of a file; - reads standard input");
  text->excludes(file);
  text->expected(1);
  text->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option("--pooling", options->pooling,
                   "How hidden states become a vector: their mean, or that of the first (cls) or last token (default: "
                   "as the model's makers say; else mean for encoders, last for others)")
      ->check(CLI::IsMember({"mean", "cls", "last"}));
  auto* const normalize = command->add_flag("--normalize", options->normalize,
                                            "Vectors of length 1 (default: as the model's makers say; else not)");
  command->add_flag("--no-normalize", options->no_normalize, "Vectors as they are")->excludes(normalize);
  command
      ->add_option("--tokens-max", options->tokens_max,
                   "The longest text, in tokens (default: as the model's makers say; else what the model takes)")
      ->check(CLI::PositiveNumber);
  command->add_flag("--truncate", options->truncate, "Cut longer texts instead of refusing them");
  command->add_flag("--json", options->json, "Print one JSON object instead of a line for each vector");
  command->callback([=, &action] {
    if (text->count() + file->count() == 0) throw CLI::RequiredError("embed: --text or --file");
    action = [options] {
      const Result<void> done = run_embed(*options);
      return done ? static_cast<int>(exit_ok) : fail(done.error());
    };
  });
}

}  // namespace tessera::app
