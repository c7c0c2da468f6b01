#include "runtime/importers/tiktoken_ranks.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/base/base64.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/importers/splitter_presets.hpp"
#include "runtime/importers/vocabulary.hpp"

namespace tessera {
namespace {

Error damaged(const std::string& where, std::size_t line, const std::string& cause) {
  return {ErrorCode::corrupt,
          where + ": line " + std::to_string(line) + " " + cause + "; it is damaged, or no file of tiktoken ranks"};
}

/// Ranks that a file may leave out; those that are published leave out none, or one.
constexpr std::size_t holes_max = 4096;

struct Rank {
  std::string bytes;
  std::uint32_t id;
};

std::optional<Rank> parse_line(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return std::nullopt;
  std::optional<std::string> bytes = decode_base64(line.substr(0, space));
  const std::string_view digits = line.substr(space + 1);
  std::uint32_t id = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (!bytes || bytes->empty() || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return Rank{*std::move(bytes), id};
}

/// A vocabulary that is known by its number of ranks.
struct Vocabulary {
  std::size_t ranks;
  const char* preset;
  std::vector<std::pair<std::string, TokenId>> special;
  std::vector<std::string> eos;
  std::string bos;  // put before a text; empty: nothing is
  bool is_nfc = false;
};

std::vector<std::pair<std::string, TokenId>> llama3_special() {
  constexpr TokenId first = 128000;
  constexpr int count = 256;
  const std::pair<int, const char*> named[] = {
      {0, "<|begin_of_text|>"},   {1, "<|end_of_text|>"},   {4, "<|finetune_right_pad_id|>"},
      {6, "<|start_header_id|>"}, {7, "<|end_header_id|>"}, {8, "<|eom_id|>"},
      {9, "<|eot_id|>"},          {10, "<|python_tag|>"},
  };
  std::vector<std::pair<std::string, TokenId>> tokens;
  int reserved = 0;
  for (int at = 0; at < count; ++at) {
    const auto* const name =
        std::find_if(std::begin(named), std::end(named), [&](const auto& n) { return n.first == at; });
    tokens.emplace_back(
        name != std::end(named) ? name->second : "<|reserved_special_token_" + std::to_string(reserved++) + "|>",
        first + at);
  }
  return tokens;
}

std::vector<std::pair<std::string, TokenId>> qwen_special() {
  constexpr TokenId first = 151643;
  constexpr int extras = 205;
  std::vector<std::pair<std::string, TokenId>> tokens = {
      {"<|endoftext|>", first}, {"<|im_start|>", first + 1}, {"<|im_end|>", first + 2}};
  for (int at = 0; at < extras; ++at) tokens.emplace_back("<|extra_" + std::to_string(at) + "|>", first + 3 + at);
  return tokens;
}

std::optional<Vocabulary> known_vocabulary(std::size_t ranks) {
  const std::vector<std::string> end = {"<|endoftext|>"};
  switch (ranks) {
    case 50256:
      return Vocabulary{ranks, "gpt2", {{"<|endoftext|>", 50256}}, end, {}};
    case 50280:
      return Vocabulary{ranks, "gpt2", {{"<|endoftext|>", 50256}}, end, {}};
    case 100256:
      return Vocabulary{ranks,
                        "cl100k",
                        {{"<|endoftext|>", 100257},
                         {"<|fim_prefix|>", 100258},
                         {"<|fim_middle|>", 100259},
                         {"<|fim_suffix|>", 100260},
                         {"<|endofprompt|>", 100276}},
                        end,
                        {}};
    case 199998:
      return Vocabulary{ranks, "o200k", {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}, end, {}};
    case 128000:
      return Vocabulary{
          ranks, "llama3", llama3_special(), {"<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"}, "<|begin_of_text|>"};
    case 151643:
      return Vocabulary{ranks, "qwen2", qwen_special(), {"<|endoftext|>", "<|im_end|>"}, {}, true};
    default:
      return std::nullopt;
  }
}

Result<std::vector<Rank>> parse_ranks(std::string_view text, const std::string& where) {
  std::vector<Rank> ranks;
  for (std::size_t line_number = 1; !text.empty(); ++line_number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    std::optional<Rank> rank = parse_line(line);
    if (!rank) return damaged(where, line_number, "is not a token in base64 and its rank");
    if (rank->id >= limits::vocab_size_max) return damaged(where, line_number, "has an absurd rank");
    ranks.push_back(*std::move(rank));
  }
  if (ranks.empty()) return Error{ErrorCode::corrupt, where + ": has no ranks"};
  const std::uint32_t last = std::ranges::max(ranks, {}, &Rank::id).id;
  if (last >= ranks.size() + holes_max) {
    return Error{ErrorCode::corrupt, where + ": has the rank " + std::to_string(last) + ", but only " +
                                         std::to_string(ranks.size()) + " ranks in all; it is cut off or damaged"};
  }
  return ranks;
}

void add_special(const Vocabulary& known, TokenizerData& data) {
  for (const auto& [name, id] : known.special) {
    pad_vocabulary(data, static_cast<std::size_t>(id) + 1);
    data.pieces[static_cast<std::size_t>(id)] = name;
    data.special[static_cast<std::size_t>(id)] = true;
    data.added.push_back({id, name, true, false, false, false, false});
  }
  for (const std::string& name : known.eos) data.eos.push_back(added_id(data, name));
  if (known.bos.empty()) return;
  data.bos = added_id(data, known.bos);
  data.prefix = {data.bos};
}

}  // namespace

bool looks_like_tiktoken(std::string_view start) {
  std::string_view line = start.substr(0, start.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return parse_line(line).has_value();
}

Result<TokenizerData> parse_tiktoken(std::string_view text, const std::string& preset, const std::string& where) {
  TESSERA_TRY(const std::vector<Rank> ranks, parse_ranks(text, where));
  const std::optional<Vocabulary> known = known_vocabulary(ranks.size());
  if (!known && preset.empty()) {
    return Error{ErrorCode::unsupported,
                 where + ": has " + std::to_string(ranks.size()) +
                     " ranks, by which no pattern is known; name one: " + splitter_preset_names()};
  }
  const auto splitter = splitter_preset(preset.empty() ? known->preset : preset);
  if (!splitter) {
    return Error{ErrorCode::invalid_argument,
                 where + ": there is no pattern '" + preset + "'; known are " + splitter_preset_names()};
  }
  TokenizerData data;
  data.kind = TokenizerKind::scored_bpe;
  data.framed = data.byte_symbols = data.whole_words = true;
  data.bos = data.unknown = data.first_byte = -1;
  data.eos.clear();
  data.splitter = splitter->steps;
  if (known && known->is_nfc) data.normalizer.push_back({NormalizerOp::nfc, 0, {}, {}});
  std::uint32_t last = 0;
  for (const Rank& rank : ranks) last = std::max(last, rank.id);
  data.scores.resize(1);  // so that padding extends them
  data.pieces.resize(1);
  data.special.resize(1, true);
  pad_vocabulary(data, std::size_t{last} + 1);
  for (const Rank& rank : ranks) {
    if (!data.pieces[rank.id].empty()) {
      return Error{ErrorCode::corrupt, where + ": rank " + std::to_string(rank.id) + " occurs twice; it is damaged"};
    }
    data.pieces[rank.id] = rank.bytes;
    data.scores[rank.id] = -static_cast<float>(rank.id);
    data.special[rank.id] = false;
  }
  if (known) add_special(*known, data);
  return data;
}

}  // namespace tessera
