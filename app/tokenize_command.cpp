#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/report.hpp"
#include "app/run_options.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/text/text_stream.hpp"
#include "runtime/text/tokenizer.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::app {

namespace {

struct TokenizeOptions {
  std::string file, text, ids, pattern;
  bool has_text = false, has_ids = false;
  bool bos = false, special = false, json = false;
};

Error closed() { return {ErrorCode::io, "standard output was closed"}; }

/// "1, 2 3" → 1 2 3
Result<std::vector<TokenId>> parse_ids(std::string_view text, std::uint32_t vocab_size) {
  constexpr std::string_view separators = ", \t\r\n[]";
  std::vector<TokenId> ids;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(separators), text.size()));
    if (text.empty()) return ids;
    const std::string_view word = text.substr(0, text.find_first_of(separators));
    TokenId id = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0 ||
        static_cast<std::uint32_t>(id) >= vocab_size) {
      return Error{ErrorCode::invalid_argument, "--ids: '" + to_valid_utf8(word.substr(0, 40)) +
                                                    "' is no id of this tokenizer, which has 0 to " +
                                                    std::to_string(vocab_size - 1)};
    }
    ids.push_back(id);
    text.remove_prefix(word.size());
  }
}

/// What an id adds to a text, special tokens by their names.
std::string piece_of(const Tokenizer& tokenizer, TokenId previous, TokenId id, bool special) {
  const TokenizerData& data = tokenizer.data();
  const auto index = static_cast<std::size_t>(id);
  return special && data.special[index] ? data.pieces[index] : std::string(tokenizer.decode_piece(previous, id));
}

std::string decoded(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool special) {
  TextStream stream;
  std::string text;
  TokenId previous = -1;
  for (const TokenId id : ids) {
    text += stream.push(piece_of(tokenizer, previous, id, special));
    previous = id;
  }
  return text + stream.finish();
}

Result<void> print_ids(const TokenizeOptions& options, const Tokenizer& tokenizer) {
  TESSERA_TRY(const std::string text, options.text == "-" ? read_text_file("-") : Result<std::string>(options.text));
  const std::vector<TokenId> ids =
      tokenizer.encode(text, {.add_bos = options.bos, .add_eos = options.bos, .parse_special = options.special});
  if (options.json) {
    nlohmann::json pieces = nlohmann::json::array();
    for (const TokenId id : ids) pieces.push_back(to_valid_utf8(piece_of(tokenizer, id, id, true)));
    if (!print_json({{"ids", ids}, {"pieces", std::move(pieces)}, {"vocab_size", tokenizer.vocab_size()}})) {
      return closed();
    }
    return {};
  }
  std::string line;
  for (const TokenId id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
  if (!print_text(line + "\n")) return closed();
  return {};
}

Result<void> print_decoded(const TokenizeOptions& options, const Tokenizer& tokenizer) {
  TESSERA_TRY(const std::string list, options.ids == "-" ? read_text_file("-") : Result<std::string>(options.ids));
  TESSERA_TRY(const std::vector<TokenId> ids, parse_ids(list, tokenizer.vocab_size()));
  const std::string text = decoded(tokenizer, ids, options.special);
  if (options.json ? !print_json({{"ids", ids}, {"text", text}}) : !print_text(text + "\n")) return closed();
  return {};
}

int run_tokenize(const TokenizeOptions& options) {
  if (options.has_text == options.has_ids) {
    return fail(Error{ErrorCode::invalid_argument, "give either --text or --ids"});
  }
  const auto run = [&]() -> Result<void> {
    TESSERA_TRY(TokenizerData data, load_tokenizer(options.file, {.preset = options.pattern}));
    TESSERA_TRY(const Tokenizer tokenizer, Tokenizer::create(std::move(data), options.file));
    return options.has_text ? print_ids(options, tokenizer) : print_decoded(options, tokenizer);
  };
  const Result<void> result = run();
  return result ? exit_ok : fail(result.error());
}

}  // namespace

void add_tokenize_command(CLI::App& app, Action& action) {
  auto* const command = app.add_subcommand("tokenize", "Show the token ids of a text, or the text of token ids");
  auto options = std::make_shared<TokenizeOptions>();
  command
      ->add_option(
          "FILE", options->file,
          "A tokenizer.json, tokenizer.model, file of tiktoken ranks, GGUF file, llama2.c tokenizer.bin, checkpoint "
          "(.h5), or a Hugging Face folder")
      ->required();
  auto* const text = command->add_option("--text", options->text, "The text to encode; - reads standard input");
  auto* const ids = command->add_option("--ids", options->ids,
                                        "The ids to decode, as \"1 2 3\" or \"1,2,3\"; - reads standard input");
  command->add_flag("--bos", options->bos, "Put around the text what the tokenizer puts around a prompt (BOS, EOS, …)");
  command->add_flag("--special", options->special,
                    "Names of special tokens in the text are these tokens; with --ids they are printed");
  command->add_option(
      "--pattern", options->pattern,
      "How a file of tiktoken ranks splits text (default: known from its size): gpt2, cl100k, o200k, llama3, "
      "qwen2, …");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] {
    options->has_text = text->count() > 0;
    options->has_ids = ids->count() > 0;
    action = [options] { return run_tokenize(*options); };
  });
}

}  // namespace tessera::app
