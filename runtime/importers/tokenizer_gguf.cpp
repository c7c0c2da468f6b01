#include "runtime/importers/tokenizer_gguf.hpp"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/importers/sentencepiece_model.hpp"
#include "runtime/importers/splitter_presets.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/utf8.hpp"
#include "runtime/text/word_piece.hpp"

namespace tessera {
namespace {

constexpr const char* prefix_of_keys = "tokenizer.ggml.";

std::string key(const char* name) { return prefix_of_keys + std::string(name); }

Error damaged(const GgufFile& file, const std::string& cause) {
  return {ErrorCode::corrupt, file.name() + ": its tokenizer makes no sense: " + cause + "; fetch the file again"};
}

/// The arrays and ids that all models have.
struct Vocabulary {
  std::vector<std::string> names;
  std::vector<float> scores;  // as many as names, or none
  std::vector<PieceType> types;
  TokenId bos = -1, unknown = -1, separator = -1, classifier = -1;
  std::vector<TokenId> eos;
};

Result<TokenId> read_id(const GgufFile& file, const char* name, std::size_t count) {
  if (!file.contains(key(name))) return TokenId{-1};
  TESSERA_TRY(const double value, file.number_or(key(name), -1));
  if (value == -1 || value == static_cast<double>(UINT32_MAX)) return TokenId{-1};
  if (value < 0 || value >= static_cast<double>(count)) {
    return damaged(file, key(name) + " is none of its " + std::to_string(count) + " ids");
  }
  return static_cast<TokenId>(value);
}

Result<void> read_ids(const GgufFile& file, Vocabulary& vocabulary) {
  const std::size_t count = vocabulary.names.size();
  TESSERA_TRY(vocabulary.bos, read_id(file, "bos_token_id", count));
  TESSERA_TRY(vocabulary.unknown, read_id(file, "unknown_token_id", count));
  TESSERA_TRY(vocabulary.separator, read_id(file, "seperator_token_id", count));  // spelled so in the format
  TESSERA_TRY(vocabulary.classifier, read_id(file, "cls_token_id", count));
  for (const char* const name : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    TESSERA_TRY(const TokenId id, read_id(file, name, count));
    const auto known = std::find(vocabulary.eos.begin(), vocabulary.eos.end(), id);
    if (id >= 0 && known == vocabulary.eos.end()) vocabulary.eos.push_back(id);
  }
  return {};
}

Result<Vocabulary> read_vocabulary(const GgufFile& file) {
  Vocabulary vocabulary;
  TESSERA_TRY(const GgufTexts tokens, file.texts(key("tokens")));
  const std::size_t count = tokens.size();
  if (count == 0 || count > limits::vocab_size_max) return damaged(file, std::to_string(count) + " tokens");
  vocabulary.names.reserve(count);
  for (std::size_t id = 0; id < count; ++id) {
    if (tokens[id].size() > limits::piece_bytes_max) {
      return damaged(file, "token " + std::to_string(id) + " has " + std::to_string(tokens[id].size()) + " bytes");
    }
    vocabulary.names.emplace_back(tokens[id]);
  }
  if (file.contains(key("scores"))) {
    TESSERA_TRY(vocabulary.scores, file.floats(key("scores")));
    if (vocabulary.scores.size() != count) return damaged(file, "there are not as many scores as tokens");
  }
  vocabulary.types.assign(count, PieceType::normal);
  if (file.contains(key("token_type"))) {
    TESSERA_TRY(const std::vector<std::int64_t> types, file.integers(key("token_type")));
    if (types.size() != count) return damaged(file, "there are not as many types as tokens");
    for (std::size_t id = 0; id < count; ++id) {
      if (types[id] < 0 || types[id] > 6) return damaged(file, "token " + std::to_string(id) + " has an unknown type");
      if (types[id] > 0) vocabulary.types[id] = static_cast<PieceType>(types[id]);
    }
  }
  TESSERA_CHECK(read_ids(file, vocabulary));
  return vocabulary;
}

/// BOS and EOS around a text, as the flags say. Without a flag a model does what `bos_by_default` says.
Result<void> add_frame(const GgufFile& file, bool bos_by_default, TokenizerData& data) {
  TESSERA_TRY(const bool add_bos, file.flag_or(key("add_bos_token"), bos_by_default));
  TESSERA_TRY(const bool add_eos, file.flag_or(key("add_eos_token"), false));
  data.framed = true;
  data.prefix.clear();
  data.suffix.clear();
  if (add_bos && data.bos >= 0) data.prefix = {data.bos};
  if (add_eos && !data.eos.empty()) data.suffix = {data.eos.front()};
  return {};
}

Result<TokenizerData> sentencepiece(const GgufFile& file, Vocabulary vocabulary, bool is_unigram) {
  if (vocabulary.scores.empty()) return damaged(file, "it has no scores");
  // SentencePiece's own ids, where a file leaves them out.
  const std::size_t count = vocabulary.names.size();
  if (!is_unigram && !file.contains(key("bos_token_id")) && count > 1) vocabulary.bos = 1;
  if (!is_unigram && !file.contains(key("eos_token_id")) && count > 2) vocabulary.eos.insert(vocabulary.eos.begin(), 2);
  SentencePieceModel model;
  model.is_unigram = is_unigram;
  TESSERA_TRY(model.add_dummy_prefix, file.flag_or(key("add_space_prefix"), true));
  TESSERA_TRY(model.remove_extra_whitespaces, file.flag_or(key("remove_extra_whitespaces"), is_unigram));
  if (file.contains(key("precompiled_charsmap"))) {
    TESSERA_TRY(const std::vector<std::int64_t> bytes, file.integers(key("precompiled_charsmap")));
    if (bytes.size() > limits::charsmap_bytes_max) return damaged(file, "its map of characters is too large");
    for (const std::int64_t byte : bytes) model.charsmap += static_cast<char>(byte);
  }
  model.names = std::move(vocabulary.names);
  model.scores = std::move(vocabulary.scores);
  model.types = std::move(vocabulary.types);
  model.unknown = vocabulary.unknown;
  model.bos = vocabulary.bos;
  model.eos = -1;
  const auto unknown = std::find(model.types.begin(), model.types.end(), PieceType::unknown);
  if (model.unknown < 0 && unknown != model.types.end()) {
    model.unknown = static_cast<TokenId>(unknown - model.types.begin());
  }
  TESSERA_TRY(TokenizerData data, tokenizer_from_sentencepiece(std::move(model), file.name()));
  data.eos = std::move(vocabulary.eos);
  TESSERA_CHECK(add_frame(file, !is_unigram, data));
  if (is_unigram && !file.contains(key("add_eos_token")) && !data.eos.empty()) data.suffix = {data.eos.front()};
  return data;
}

/// Merges are texts "LEFT RIGHT".
Result<std::vector<Merge>> read_merges(const GgufFile& file, const std::vector<std::string>& names,
                                       const TokenizerData& data) {
  TESSERA_TRY(const GgufTexts texts, file.texts(key("merges")));
  if (texts.size() > limits::merges_max) return damaged(file, std::to_string(texts.size()) + " merges");
  std::unordered_map<std::string_view, TokenId> ids;
  ids.reserve(names.size());
  for (std::size_t id = 0; id < names.size(); ++id) ids.emplace(names[id], static_cast<TokenId>(id));
  std::vector<Merge> merges;
  merges.reserve(texts.size());
  std::string joined;
  for (std::size_t rank = 0; rank < texts.size(); ++rank) {
    const std::string_view text = texts[rank];
    const std::size_t space = text.find(' ', 1);
    const auto left = ids.find(text.substr(0, space));
    const auto right = space == std::string_view::npos ? ids.end() : ids.find(text.substr(space + 1));
    if (left == ids.end() || right == ids.end()) {
      return damaged(file, "merge " + std::to_string(rank) + " joins tokens that are not in it");
    }
    joined = names[static_cast<std::size_t>(left->second)] + names[static_cast<std::size_t>(right->second)];
    const auto result = ids.find(joined);
    if (result == ids.end()) return damaged(file, "merge " + std::to_string(rank) + " gives no token");
    // Text never becomes a special token by merging.
    if (!data.special[static_cast<std::size_t>(result->second)]) merges.push_back({left->second, right->second});
  }
  return merges;
}

Result<TokenizerData> gpt2(const GgufFile& file, Vocabulary vocabulary) {
  TESSERA_TRY(const std::string_view pre, file.text_or(key("pre"), "default"));
  const auto splitter = splitter_preset(pre);
  if (!splitter) {
    return Error{ErrorCode::unsupported, file.name() + ": its tokenizer splits text by the pattern '" +
                                             to_valid_utf8(pre.substr(0, 60)) + "', which is not known; known are " +
                                             splitter_preset_names() + ", and other names for these"};
  }
  TokenizerData data;
  data.kind = TokenizerKind::merge_bpe;
  data.byte_symbols = true;
  data.whole_words = splitter->whole_words;
  data.splitter = splitter->steps;
  data.first_byte = -1;
  data.bos = vocabulary.bos;
  data.unknown = vocabulary.unknown;
  data.eos = vocabulary.eos;
  const std::size_t count = vocabulary.names.size();
  data.special.assign(count, false);
  data.unreachable.assign(count, false);
  for (std::size_t id = 0; id < count; ++id) {
    const std::string& name = vocabulary.names[id];
    const PieceType type = vocabulary.types[id];
    const bool is_special = type == PieceType::control || type == PieceType::unknown;
    const bool is_added = is_special || type == PieceType::user_defined;
    auto bytes = is_added ? std::nullopt : bytes_of_gpt2_piece(name);
    data.unreachable[id] = !bytes;
    data.special[id] = is_special || name.empty();
    data.pieces.push_back(bytes ? *std::move(bytes) : name);
    if (is_added && !name.empty()) {
      data.added.push_back({static_cast<TokenId>(id), name, is_special, false, false, false, false});
    }
  }
  TESSERA_TRY(data.merges, read_merges(file, vocabulary.names, data));
  TESSERA_CHECK(add_frame(file, splitter->whole_words, data));
  return data;
}

/// Words begin with a space mark here, and what continues them has none; other formats mark the latter by "##".
std::string word_piece_name(const std::string& name) {
  if (name.starts_with(space_mark)) return name.substr(space_mark.size());
  if (name.starts_with('[') && name.ends_with(']') && name.size() > 2) return name;
  return std::string(continuation_mark) + name;
}

Result<TokenizerData> bert(const GgufFile& file, Vocabulary vocabulary) {
  TokenizerData data;
  data.kind = TokenizerKind::word_piece;
  data.first_byte = -1;
  data.cleans_up = true;
  data.bos = vocabulary.bos >= 0 ? vocabulary.bos : vocabulary.classifier;
  data.unknown = vocabulary.unknown;
  data.eos = vocabulary.eos;
  if (data.eos.empty() && vocabulary.separator >= 0) data.eos = {vocabulary.separator};
  const std::uint8_t all = NormalizerStep::flag_clean | NormalizerStep::flag_chinese | NormalizerStep::flag_accents |
                           NormalizerStep::flag_lower;
  data.normalizer.push_back({NormalizerOp::bert, all, {}, {}});
  data.splitter = word_piece_splitter();
  for (std::size_t id = 0; id < vocabulary.names.size(); ++id) {
    const std::string& name = vocabulary.names[id];
    const bool is_special = vocabulary.types[id] == PieceType::control || vocabulary.types[id] == PieceType::unknown;
    data.special.push_back(is_special);
    data.pieces.push_back(is_special ? name : word_piece_name(name));
    if (is_special && !name.empty()) {
      data.added.push_back({static_cast<TokenId>(id), name, true, false, false, false, false});
    }
  }
  TESSERA_CHECK(add_frame(file, true, data));
  if (vocabulary.separator >= 0) data.suffix = {vocabulary.separator};
  return data;
}

}  // namespace

Result<TokenizerData> tokenizer_from_gguf(const GgufFile& file) {
  if (!file.contains(key("model"))) {
    return Error{ErrorCode::not_found, file.name() + ": has no tokenizer"};
  }
  TESSERA_TRY(const std::string_view model, file.text(key("model")));
  if (model == "none" || model == "no_vocab") return Error{ErrorCode::not_found, file.name() + ": has no tokenizer"};
  if (model != "llama" && model != "gpt2" && model != "bert" && model != "t5") {
    return Error{ErrorCode::unsupported, file.name() + ": its tokenizer is of the kind '" +
                                             to_valid_utf8(model.substr(0, 60)) +
                                             "'; llama, gpt2, bert and t5 can be imported"};
  }
  TESSERA_TRY(Vocabulary vocabulary, read_vocabulary(file));
  auto read = model == "gpt2"   ? gpt2(file, std::move(vocabulary))
              : model == "bert" ? bert(file, std::move(vocabulary))
                                : sentencepiece(file, std::move(vocabulary), model == "t5");
  if (read) add_turn_ends(*read);
  return read;
}

}  // namespace tessera
