#include "runtime/importers/tokenizer_folder.hpp"

#include <algorithm>
#include <charconv>
#include <exception>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/splitter_presets.hpp"
#include "runtime/importers/strict_json.hpp"
#include "runtime/importers/tokenizer_json.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/tokenizer_blob.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t config_bytes_max = std::size_t{16} << 20;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// An object, or an empty one where the file does not exist.
Result<json> read_config(const fs::path& path) {
  if (!is_file(path)) return json::object();
  TESSERA_TRY(const std::string text, read_text(path.string(), config_bytes_max, "a configuration"));
  TESSERA_TRY(json root, parse_strict_json(text, path.string()));
  if (!root.is_object()) return Error{ErrorCode::corrupt, path.string() + ": is no JSON object; fetch it again"};
  return root;
}

/// "bos_token": "<s>" or {"content": "<s>"}; empty where it is absent or null.
std::string token_name(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_object() || !found->contains("content") || !found->at("content").is_string()) return {};
  return found->at("content").get<std::string>();
}

TokenId id_of_name(const TokenizerData& data, const std::string& name) {
  if (name.empty()) return -1;
  if (const TokenId id = added_id(data, name); id >= 0) return id;
  const auto found = std::find(data.pieces.begin(), data.pieces.end(), name);
  return found == data.pieces.end() ? -1 : static_cast<TokenId>(found - data.pieces.begin());
}

/// A token that the tokenizer's own file does not have.
Result<void> add_token(TokenizerData& data, std::uint64_t id, AddedToken token, const std::string& where) {
  if (token.text.empty() || added_id(data, token.text) >= 0) return {};
  const std::uint64_t id_max = std::min<std::uint64_t>(limits::vocab_size_max - 1, data.pieces.size() + 100'000);
  if (id > id_max || data.added.size() >= limits::added_tokens_max) {
    return Error{ErrorCode::corrupt, where + ": the token '" + token.text.substr(0, 60) + "' has the absurd id " +
                                         std::to_string(id) + "; fetch the file again"};
  }
  token.id = static_cast<TokenId>(id);
  const bool is_new = id >= data.pieces.size();
  pad_vocabulary(data, static_cast<std::size_t>(id) + 1);
  const auto index = static_cast<std::size_t>(id);
  if (is_new || data.pieces[index].empty()) data.pieces[index] = token.text;
  if (is_new) {
    if (data.unreachable.empty()) data.unreachable.assign(data.pieces.size(), false);
    data.unreachable[index] = true;
    data.special[index] = token.special;
  } else if (token.special) {
    data.special[index] = true;
  }
  data.added.push_back(std::move(token));
  return {};
}

bool flag_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

/// "added_tokens_decoder": {"32000": {"content": "<|im_start|>", "special": true, …}, …}
Result<void> add_decoder_tokens(const json& config, const std::string& where, TokenizerData& data) {
  const auto tokens = config.find("added_tokens_decoder");
  if (tokens == config.end() || !tokens->is_object()) return {};
  for (const auto& [key, value] : tokens->items()) {
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || !value.is_object()) continue;
    AddedToken token;
    token.text = token_name(json{{"token", value}}, "token");
    token.special = flag_of(value, "special");
    token.whole_word = flag_of(value, "single_word");
    token.strips_left = flag_of(value, "lstrip");
    token.strips_right = flag_of(value, "rstrip");
    TESSERA_CHECK(add_token(data, id, std::move(token), where));
  }
  return {};
}

/// added_tokens.json: {"<|im_start|>": 32000, …}
Result<void> add_listed_tokens(const json& tokens, const std::string& where, TokenizerData& data) {
  for (const auto& [name, id] : tokens.items()) {
    if (!id.is_number_unsigned()) continue;
    AddedToken token;
    token.text = name;
    TESSERA_CHECK(add_token(data, id.get<std::uint64_t>(), std::move(token), where));
  }
  return {};
}

/// Whether BOS or EOS stand around a text, where the configuration says so. Only tokenizers of SentencePiece's kind go
/// by it; others have their post-processor.
void apply_frame(const json& config, TokenizerData& data) {
  const std::string kind = token_name(config, "tokenizer_class");
  const bool obeys = kind.starts_with("Llama") || kind.starts_with("CodeLlama") || kind.starts_with("Gemma");
  if (!obeys || !data.framed) return;
  const auto add_bos = config.find("add_bos_token");
  if (add_bos != config.end() && add_bos->is_boolean()) {
    data.prefix.clear();
    if (add_bos->get<bool>() && data.bos >= 0) data.prefix = {data.bos};
  }
  const auto add_eos = config.find("add_eos_token");
  if (add_eos != config.end() && add_eos->is_boolean()) {
    data.suffix.clear();
    if (add_eos->get<bool>() && !data.eos.empty()) data.suffix = {data.eos.front()};
  }
}

/// "eos_token_id": 2 or [128001, 128009]
std::vector<TokenId> ids_of(const json& config, const char* key, std::size_t count) {
  std::vector<TokenId> ids;
  const auto found = config.find(key);
  if (found == config.end()) return ids;
  const auto add = [&](const json& value) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= count) return;
    const auto id = static_cast<TokenId>(value.get<std::uint64_t>());
    if (ids.size() < limits::eos_ids_max && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  };
  if (!found->is_array()) {
    add(*found);
    return ids;
  }
  for (const json& value : *found) add(value);
  return ids;
}

Result<TokenizerFiles> read_files(const fs::path& folder) {
  TokenizerFiles files;
  TESSERA_TRY(files.added, read_config(folder / "added_tokens.json"));
  TESSERA_TRY(files.config, read_config(folder / "tokenizer_config.json"));
  TESSERA_TRY(files.names, read_config(folder / "special_tokens_map.json"));
  TESSERA_TRY(files.generation, read_config(folder / "generation_config.json"));
  return files;
}

/// What generation_config.json says; the token that the tokenizer names comes first: chat templates write it as
/// eos_token.
void apply_ends(const TokenizerFiles& files, TokenizerData& data) {
  const std::vector<TokenId> ends = ids_of(files.generation, "eos_token_id", data.pieces.size());
  if (ends.empty()) return;
  const TokenId named = id_of_name(data, token_name(files.config, "eos_token"));
  data.eos = ends;
  std::erase(data.eos, named);
  if (named >= 0) data.eos.insert(data.eos.begin(), named);
  if (data.eos.size() > limits::eos_ids_max) data.eos.pop_back();
}

/// The lines of a text, without line ends; the last one only where it is not empty.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

Result<TokenizerData> from_vocab_and_merges(const std::string& vocab_path) {
  const fs::path merges_path = fs::path(vocab_path).parent_path() / "merges.txt";
  TESSERA_TRY(const std::string vocab_text, read_text(vocab_path, limits::tokenizer_bytes_max, "a vocabulary"));
  TESSERA_TRY(const std::string merges_text,
              read_text(merges_path.string(), limits::tokenizer_bytes_max, "a list of merges"));
  json merges = json::array();
  for (const std::string_view line : lines_of(merges_text)) {
    if (line.empty() || (merges.empty() && line.starts_with("#version"))) continue;
    if (merges.size() == limits::merges_max)
      return Error{ErrorCode::corrupt, merges_path.string() + ": has too many merges"};
    merges.push_back(std::string(line));
  }
  TESSERA_TRY(json vocab,
              parse_strict_json(vocab_text, vocab_path, {limits::tokenizer_bytes_max, 2, limits::vocab_size_max + 1}));
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  json special = json::array();
  if (vocab.is_object()) {
    for (const auto& [name, id] : vocab.items()) {
      const bool is_named = (name.starts_with("<|") && name.ends_with("|>")) || name == "<s>" || name == "</s>" ||
                            name == "<pad>" || name == "<unk>" || name == "<mask>";
      if (is_named) special.push_back({{"id", id}, {"content", name}, {"special", true}});
    }
  }
  const json root = {{"model", {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(merges)}}},
                     {"pre_tokenizer", byte_level},
                     {"decoder", byte_level},
                     {"added_tokens", std::move(special)}};
  return tokenizer_from_json(root, vocab_path);
}

Result<TokenizerData> from_vocab_lines(const std::string& path) {
  TESSERA_TRY(const std::string text, read_text(path, limits::tokenizer_bytes_max, "a vocabulary"));
  TokenizerData data;
  data.kind = TokenizerKind::word_piece;
  data.framed = data.cleans_up = true;
  data.bos = data.unknown = data.first_byte = -1;
  data.eos.clear();
  data.word_characters_max = 100;
  const bool is_lower_case = text.find("\nthe\n") != std::string::npos && text.find("\nThe\n") == std::string::npos;
  const int flags = NormalizerStep::flag_clean | NormalizerStep::flag_chinese |
                    (is_lower_case ? NormalizerStep::flag_accents | NormalizerStep::flag_lower : 0);
  data.normalizer.push_back({NormalizerOp::bert, static_cast<std::uint8_t>(flags), {}, {}});
  data.splitter = word_piece_splitter();
  for (const std::string_view line : lines_of(text)) {
    if (data.pieces.size() == limits::vocab_size_max) return Error{ErrorCode::corrupt, path + ": has too many pieces"};
    const bool is_special =
        line == "[PAD]" || line == "[UNK]" || line == "[CLS]" || line == "[SEP]" || line == "[MASK]";
    const auto id = static_cast<TokenId>(data.pieces.size());
    data.pieces.emplace_back(line);
    data.special.push_back(is_special || line.empty());
    if (is_special) data.added.push_back({id, std::string(line), true, false, false, false, false});
  }
  data.unknown = added_id(data, "[UNK]");
  data.bos = added_id(data, "[CLS]");
  if (data.bos >= 0) data.prefix = {data.bos};
  if (const TokenId end = added_id(data, "[SEP]"); end >= 0) data.eos = data.suffix = {end};
  return data;
}

}  // namespace

std::string tokenizer_file_of(const std::string& folder) {
  const fs::path path(folder);
  for (const char* const name : {"tokenizer.json", "tokenizer.model"}) {
    if (is_file(path / name)) return (path / name).string();
  }
  std::vector<std::string> ranks;
  std::error_code failed;
  for (fs::directory_iterator entry(path, failed), end; !failed && entry != end; entry.increment(failed)) {
    if (entry->path().extension() == ".tiktoken" && is_file(entry->path())) ranks.push_back(entry->path().string());
  }
  if (!ranks.empty()) return *std::min_element(ranks.begin(), ranks.end());
  if (is_file(path / "vocab.json") && is_file(path / "merges.txt")) return (path / "vocab.json").string();
  return is_file(path / "vocab.txt") ? (path / "vocab.txt").string() : std::string();
}

Result<TokenizerData> load_vocab_and_merges(const std::string& vocab_path) {
  try {
    return from_vocab_and_merges(vocab_path);
  } catch (const std::exception& exception) {  // of nlohmann and of allocation
    return Error{ErrorCode::exhausted, vocab_path + ": cannot be read: " + exception.what()};
  }
}

Result<TokenizerData> load_vocab_lines(const std::string& path) { return from_vocab_lines(path); }

Result<void> apply_tokenizer_files(const TokenizerFiles& files, const std::string& where, TokenizerData& data) {
  TESSERA_CHECK(add_listed_tokens(files.added, (fs::path(where) / "added_tokens.json").string(), data));
  TESSERA_CHECK(add_decoder_tokens(files.config, (fs::path(where) / "tokenizer_config.json").string(), data));
  for (const json* const source : {&files.names, &files.config}) {
    if (const TokenId id = id_of_name(data, token_name(*source, "bos_token")); id >= 0) data.bos = id;
    if (const TokenId id = id_of_name(data, token_name(*source, "eos_token")); id >= 0) data.eos = {id};
  }
  // That it has none is said by null.
  const auto bos = files.config.find("bos_token");
  if (bos != files.config.end() && bos->is_null() && data.prefix.empty()) data.bos = -1;
  apply_frame(files.config, data);
  apply_ends(files, data);
  return {};
}

Result<void> apply_folder(const std::string& folder, TokenizerData& data) {
  try {
    TESSERA_TRY(const TokenizerFiles files, read_files(folder));
    return apply_tokenizer_files(files, folder, data);
  } catch (const std::exception& exception) {  // of nlohmann and of allocation
    return Error{ErrorCode::exhausted, folder + ": cannot be read: " + exception.what()};
  }
}

}  // namespace tessera
