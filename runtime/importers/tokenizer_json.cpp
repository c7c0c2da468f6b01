#include "runtime/importers/tokenizer_json.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <unordered_map>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/importers/json_view.hpp"
#include "runtime/importers/strict_json.hpp"
#include "runtime/importers/tokenizer_json_steps.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/word_piece.hpp"

namespace tessera {
namespace {

using nlohmann::json;

/// The largest file that is known has 2.1 million values: 262,144 pieces, and 580,000 merges of three.
constexpr JsonLimits tokenizer_json_limits{limits::tokenizer_bytes_max, limits::foreign_json_depth_max,
                                           std::size_t{5} << 19};

class Reader {
 public:
  Reader(const json& root, const std::string& where) : root_(root, where, {}) {}

  Result<TokenizerData> read();

 private:
  enum class Model { bpe, unigram, word_piece };

  Result<Model> model_type(const JsonView& model) const;
  Result<void> read_names(const JsonView& model);
  Result<void> read_scored_names(const JsonView& vocabulary);
  Result<void> read_added();
  Result<void> read_steps();
  Result<void> read_bpe(const JsonView& model);
  Result<void> read_merges(const JsonView& model);
  Result<Merge> read_merge(const json& value, const std::string& name) const;
  Result<void> read_unigram(const JsonView& model);
  Result<void> read_word_piece(const JsonView& model);
  Result<void> put_name(std::uint32_t id, const std::string& name, const JsonView& view);
  void spell_pieces();
  TokenId id_of(std::string_view name) const;

  JsonView root_;
  JsonSteps steps_;
  TokenizerData data_;
  std::vector<std::string> names_;  // of ids, as written; empty where there is none
  std::unordered_map<std::string_view, TokenId> ids_;
  std::vector<bool> is_added_;
};

TokenId Reader::id_of(std::string_view name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? -1 : found->second;
}

Result<Reader::Model> Reader::model_type(const JsonView& model) const {
  if (model.has("type")) {
    TESSERA_TRY(const std::string type, model.text("type"));
    if (type == "BPE") return Model::bpe;
    if (type == "Unigram") return Model::unigram;
    if (type == "WordPiece") return Model::word_piece;
    return model.unsupported("is of the type " + type.substr(0, 60));
  }
  // Old files do not say it.
  if (model.has("merges")) return Model::bpe;
  if (model.has("vocab") && model.value().at("vocab").is_array()) return Model::unigram;
  if (model.has("max_input_chars_per_word")) return Model::word_piece;
  return model.wrong("does not say its type");
}

Result<void> Reader::put_name(std::uint32_t id, const std::string& name, const JsonView& view) {
  if (name.size() > limits::piece_bytes_max)
    return view.wrong("has a piece that is too long: id " + std::to_string(id));
  if (id >= names_.size()) names_.resize(std::size_t{id} + 1);
  if (!names_[id].empty() && names_[id] != name) return view.wrong("gives the id " + std::to_string(id) + " twice");
  names_[id] = name;
  return {};
}

/// An object of names and ids.
Result<void> Reader::read_names(const JsonView& model) {
  TESSERA_TRY(const JsonView vocabulary, model.member("vocab"));
  if (!vocabulary.value().is_object()) return vocabulary.wrong("is no list of pieces and ids");
  // Ids may have gaps, which added tokens fill; a few names with huge ids are no vocabulary.
  const std::size_t ids_max =
      std::min(limits::vocab_size_max - std::size_t{1}, 2 * vocabulary.value().size() + 100'000);
  for (const auto& [name, id] : vocabulary.value().items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > ids_max) {
      return vocabulary.wrong("has an absurd id for '" + name.substr(0, 60) + "'");
    }
    TESSERA_CHECK(put_name(id.get<std::uint32_t>(), name, vocabulary));
  }
  return {};
}

/// A list of pairs of a name and a score; the place is the id.
Result<void> Reader::read_scored_names(const JsonView& vocabulary) {
  TESSERA_TRY(const std::size_t count, vocabulary.array_size());
  if (count > limits::vocab_size_max) return vocabulary.wrong("has too many pieces");
  names_.resize(count);
  for (std::size_t id = 0; id < count; ++id) {
    const json& pair = vocabulary.value()[id];
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_number()) {
      return vocabulary.element(id).wrong("is not a piece and its score");
    }
    const double score = pair[1].get<double>();
    if (!std::isfinite(static_cast<float>(score)))
      return vocabulary.element(id).wrong("has a score that is no finite number");
    names_[id] = pair[0].get<std::string>();
    if (names_[id].size() > limits::piece_bytes_max)
      return vocabulary.element(id).wrong("has a piece that is too long");
    data_.scores.push_back(static_cast<float>(score));
  }
  return {};
}

Result<void> Reader::read_added() {
  if (!root_.has("added_tokens")) return {};
  TESSERA_TRY(const JsonView tokens, root_.member("added_tokens"));
  TESSERA_TRY(const std::size_t count, tokens.array_size());
  if (count > limits::added_tokens_max) return tokens.wrong("has too many tokens");
  const auto id_max =
      static_cast<std::uint32_t>(std::min(limits::vocab_size_max - std::size_t{1}, names_.size() + count + 100'000));
  for (std::size_t at = 0; at < count; ++at) {
    const JsonView view = tokens.element(at);
    AddedToken token;
    TESSERA_TRY(const std::uint32_t id, view.count("id", id_max));
    token.id = static_cast<TokenId>(id);
    TESSERA_TRY(token.text, view.text("content"));
    TESSERA_TRY(token.special, view.flag_or("special", false));
    TESSERA_TRY(token.normalized, view.flag_or("normalized", !token.special));
    TESSERA_TRY(token.whole_word, view.flag_or("single_word", false));
    TESSERA_TRY(token.strips_left, view.flag_or("lstrip", false));
    TESSERA_TRY(token.strips_right, view.flag_or("rstrip", false));
    if (token.text.empty()) continue;
    // A special token that a prompt spells out is meant as it is written.
    if (token.special) token.normalized = false;
    TESSERA_CHECK(put_name(id, token.text, view));
    data_.added.push_back(std::move(token));
  }
  return {};
}

Result<void> Reader::read_steps() {
  const auto read = [&](const char* key, auto&& use) -> Result<void> {
    if (!root_.has(key)) return {};
    TESSERA_TRY(const JsonView view, root_.member(key));
    return use(view);
  };
  TESSERA_CHECK(read("normalizer", [&](const JsonView& view) { return read_json_normalizer(view, data_, steps_); }));
  TESSERA_CHECK(
      read("pre_tokenizer", [&](const JsonView& view) { return read_json_pre_tokenizer(view, data_, steps_); }));
  TESSERA_CHECK(read("post_processor", [&](const JsonView& view) { return read_json_post_processor(view, data_); }));
  return read("decoder", [&](const JsonView& view) { return read_json_decoder(view, data_, steps_); });
}

/// Pieces from names, and which of them text can become.
void Reader::spell_pieces() {
  const std::size_t count = names_.size();
  data_.special.assign(count, false);
  data_.unreachable.assign(count, false);
  is_added_.assign(count, false);
  for (const AddedToken& token : data_.added) is_added_[static_cast<std::size_t>(token.id)] = true;
  for (std::size_t id = 0; id < count; ++id) {
    std::string piece = names_[id];
    if (steps_.is_byte_level) {
      auto bytes = bytes_of_gpt2_piece(piece);
      data_.unreachable[id] = !bytes;
      if (bytes && !is_added_[id]) piece = *std::move(bytes);
      data_.unreachable[id] = data_.unreachable[id] || is_added_[id];
    } else if (steps_.has_space_mark) {
      // A plain space never meets the model, which sees marks.
      data_.unreachable[id] = piece.find(' ') != std::string::npos;
      if (!data_.unreachable[id]) piece = with_plain_spaces(piece);
    }
    data_.special[id] = names_[id].empty();
    data_.pieces.push_back(std::move(piece));
  }
  for (AddedToken& token : data_.added) {
    const auto id = static_cast<std::size_t>(token.id);
    if (token.special) data_.special[id] = true;
    if (token.special || !steps_.has_space_mark) data_.pieces[id] = token.text;
    if (token.normalized && steps_.has_space_mark) token.text = with_plain_spaces(token.text);
  }
  const auto none = std::find(data_.unreachable.begin(), data_.unreachable.end(), true) == data_.unreachable.end();
  if (none) data_.unreachable.clear();
}

Result<Merge> Reader::read_merge(const json& value, const std::string& name) const {
  // A piece may hold spaces itself: then the first place counts that leaves two pieces.
  constexpr int spaces_max = 8;
  std::string_view left, right;
  if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
    left = value[0].get_ref<const std::string&>();
    right = value[1].get_ref<const std::string&>();
  } else if (value.is_string()) {
    const std::string_view text = value.get_ref<const std::string&>();
    std::size_t space = text.find(' ', 1);
    if (space == std::string_view::npos || text.size() > 2 * limits::piece_bytes_max + 1) {
      return JsonView(value, root_.where(), name).wrong("is not two pieces");
    }
    for (int spaces = 0; spaces < spaces_max && space != std::string_view::npos; ++spaces) {
      left = text.substr(0, space);
      right = text.substr(space + 1);
      if (id_of(left) >= 0 && id_of(right) >= 0) break;
      space = text.find(' ', space + 1);
    }
  } else {
    return JsonView(value, root_.where(), name).wrong("is not two pieces");
  }
  const Merge merge{id_of(left), id_of(right)};
  if (merge.left < 0 || merge.right < 0) {
    return JsonView(value, root_.where(), name).wrong("joins pieces that are not in the vocabulary");
  }
  return merge;
}

Result<void> Reader::read_merges(const JsonView& model) {
  TESSERA_TRY(const JsonView merges, model.member("merges"));
  TESSERA_TRY(const std::size_t count, merges.array_size());
  if (count > limits::merges_max) return merges.wrong("has too many merges");
  data_.merges.reserve(count);
  std::string joined;
  for (std::size_t rank = 0; rank < count; ++rank) {
    const json& value = merges.value()[rank];
    TESSERA_TRY(const Merge merge, read_merge(value, "model.merges[" + std::to_string(rank) + "]"));
    joined = names_[static_cast<std::size_t>(merge.left)];
    joined += names_[static_cast<std::size_t>(merge.right)];
    const TokenId id = joined.size() > limits::piece_bytes_max ? -1 : id_of(joined);
    if (id < 0) return merges.element(rank).wrong("gives what is not in the vocabulary");
    const auto index = static_cast<std::size_t>(id);
    // Text becomes a special token or a byte only as such, never by merging.
    const bool is_byte = data_.first_byte >= 0 && id >= data_.first_byte && id - data_.first_byte < 256;
    const bool unreachable = !data_.unreachable.empty() && data_.unreachable[index];
    if (!data_.special[index] && !is_byte && !unreachable) data_.merges.push_back(merge);
  }
  return {};
}

Result<void> Reader::read_bpe(const JsonView& model) {
  data_.kind = TokenizerKind::merge_bpe;
  data_.byte_symbols = steps_.is_byte_level;
  TESSERA_TRY(const bool byte_fallback, model.flag_or("byte_fallback", false));
  TESSERA_TRY(data_.whole_words, model.flag_or("ignore_merges", false));
  TESSERA_TRY(data_.fuses_unknown, model.flag_or("fuse_unk", false));
  for (const char* const key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    TESSERA_TRY(const std::string text, model.text_or(key, ""));
    if (!text.empty()) return model.unsupported(std::string("has a ") + key);
  }
  if (byte_fallback) data_.first_byte = first_byte_id(names_);
  TESSERA_TRY(const std::string unknown, model.text_or("unk_token", ""));
  if (!unknown.empty()) data_.unknown = id_of(unknown);
  spell_pieces();
  return read_merges(model);
}

Result<void> Reader::read_unigram(const JsonView& model) {
  data_.kind = TokenizerKind::unigram;
  if (steps_.is_byte_level) return model.unsupported("is a Unigram over bytes");
  TESSERA_TRY(const bool byte_fallback, model.flag_or("byte_fallback", false));
  if (byte_fallback) data_.first_byte = first_byte_id(names_);
  if (model.has("unk_id")) {
    TESSERA_TRY(const std::uint32_t id, model.count("unk_id", limits::vocab_size_max));
    if (id >= names_.size()) return model.wrong("has an unk_id that is no piece");
    data_.unknown = static_cast<TokenId>(id);
  }
  data_.fuses_unknown = true;
  data_.scores.resize(names_.size(), 0.0f);
  spell_pieces();
  return {};
}

Result<void> Reader::read_word_piece(const JsonView& model) {
  data_.kind = TokenizerKind::word_piece;
  TESSERA_TRY(const std::string mark, model.text_or("continuing_subword_prefix", std::string(continuation_mark)));
  if (mark != continuation_mark) return model.unsupported("marks what continues a word by " + mark.substr(0, 60));
  if (model.has("max_input_chars_per_word")) {
    TESSERA_TRY(data_.word_characters_max, model.count("max_input_chars_per_word", limits::word_characters_max));
  }
  TESSERA_TRY(const std::string unknown, model.text_or("unk_token", "[UNK]"));
  data_.unknown = id_of(unknown);
  spell_pieces();
  return {};
}

Result<TokenizerData> Reader::read() {
  data_.framed = true;
  data_.bos = data_.unknown = data_.first_byte = -1;
  data_.eos.clear();
  TESSERA_TRY(const JsonView model, root_.member("model"));
  TESSERA_TRY(const Model type, model_type(model));
  if (type == Model::unigram) {
    TESSERA_TRY(const JsonView vocabulary, model.member("vocab"));
    TESSERA_CHECK(read_scored_names(vocabulary));
  } else {
    TESSERA_CHECK(read_names(model));
  }
  TESSERA_CHECK(read_added());
  if (names_.empty()) return model.wrong("has no pieces");
  ids_.reserve(names_.size());
  for (std::size_t id = 0; id < names_.size(); ++id) {
    if (!names_[id].empty()) ids_.emplace(names_[id], static_cast<TokenId>(id));
  }
  TESSERA_CHECK(read_steps());
  TESSERA_CHECK(type == Model::bpe       ? read_bpe(model)
                : type == Model::unigram ? read_unigram(model)
                                         : read_word_piece(model));
  if (!data_.prefix.empty()) data_.bos = data_.prefix.front();
  if (type == Model::word_piece && !data_.suffix.empty()) data_.eos = {data_.suffix.back()};
  find_ids_by_name(data_);
  return std::move(data_);
}

}  // namespace

Result<TokenizerData> tokenizer_from_json(const json& root, const std::string& where) {
  return Reader(root, where).read();
}

Result<TokenizerData> parse_tokenizer_json(std::string_view text, const std::string& where) {
  try {
    TESSERA_TRY(const json root, parse_strict_json(text, where, tokenizer_json_limits));
    return tokenizer_from_json(root, where);
  } catch (const std::exception& exception) {  // of nlohmann and of allocation
    return Error{ErrorCode::exhausted, where + ": cannot be read: " + exception.what()};
  }
}

}  // namespace tessera
