#include "runtime/importers/tokenizer_json_writer.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/importers/splitter_presets.hpp"
#include "runtime/importers/tokenizer_json_step_writer.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/regex.hpp"
#include "runtime/text/splitter.hpp"
#include "runtime/text/tokenizer_json.hpp"
#include "runtime/text/word_piece.hpp"

namespace tessera {

namespace {

using nlohmann::json;

bool is_space_mark_step(const NormalizerStep& step) {
  return step.op == NormalizerOp::replace && step.text == space_mark && step.replacement == " ";
}

class Writer {
 public:
  explicit Writer(const TokenizerData& data)
      : data_(data),
        has_space_mark_(!data.byte_symbols &&
                        std::any_of(data.normalizer.begin(), data.normalizer.end(), is_space_mark_step)) {
    names_.resize(data.pieces.size());
    for (std::size_t id = 0; id < names_.size(); ++id) names_[id] = name_of(id);
    for (const AddedToken& token : data.added) names_[static_cast<std::size_t>(token.id)] = text_of(token);
  }

  Result<json> write() {
    TESSERA_TRY(json model, model_of());
    json root = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", added()}};
    json normalizers = json::array(), pre_tokenizers = json::array();
    TESSERA_CHECK(add_normalizer(normalizers, pre_tokenizers));
    add_splitter(pre_tokenizers);
    root["normalizer"] = sequence_of("normalizers", std::move(normalizers));
    root["pre_tokenizer"] = sequence_of("pretokenizers", std::move(pre_tokenizers));
    root["post_processor"] = post_processor();
    root["decoder"] = decoder();
    root["model"] = std::move(model);
    return root;
  }

 private:
  bool is_unreachable(std::size_t id) const { return !data_.unreachable.empty() && data_.unreachable[id]; }
  bool is_byte(std::size_t id) const {
    const auto first = static_cast<std::size_t>(data_.first_byte);
    return data_.first_byte >= 0 && id >= first && id - first < 256;
  }

  std::string name_of(std::size_t id) const {
    if (is_byte(id)) return byte_name(id - static_cast<std::size_t>(data_.first_byte));
    const std::string& piece = data_.pieces[id];
    if (is_unreachable(id)) return piece;
    if (data_.byte_symbols) return byte_characters(piece);
    return has_space_mark_ ? with_space_marks(piece) : piece;
  }
  std::string text_of(const AddedToken& token) const {
    return has_space_mark_ && token.normalized ? with_space_marks(token.text) : token.text;
  }
  const std::string& name(TokenId id) const { return names_[static_cast<std::size_t>(id)]; }

  static json sequence_of(const char* list, json steps) {
    if (steps.empty()) return nullptr;
    if (steps.size() == 1) return std::move(steps[0]);
    return json{{"type", "Sequence"}, {list, std::move(steps)}};
  }

  json added() const {
    json tokens = json::array();
    for (const AddedToken& token : data_.added) {
      tokens.push_back({{"id", token.id},
                        {"content", text_of(token)},
                        {"single_word", token.whole_word},
                        {"lstrip", token.strips_left},
                        {"rstrip", token.strips_right},
                        {"normalized", token.normalized},
                        {"special", token.special}});
    }
    return tokens;
  }

  json names_and_ids() const {
    json vocabulary = json::object();
    for (std::size_t id = 0; id < names_.size(); ++id) {
      if (!names_[id].empty()) vocabulary[names_[id]] = id;
    }
    return vocabulary;
  }

  json merges() const {
    // As texts where every reader of the format understands them.
    const bool are_texts = std::all_of(data_.merges.begin(), data_.merges.end(), [&](const Merge& merge) {
      return name(merge.left).find(' ') == std::string::npos && name(merge.right).find(' ') == std::string::npos;
    });
    json list = json::array();
    for (const Merge& merge : data_.merges) {
      if (are_texts) {
        list.push_back(name(merge.left) + " " + name(merge.right));
      } else {
        list.push_back({name(merge.left), name(merge.right)});
      }
    }
    return list;
  }

  Result<json> model_of() const {
    const json unknown = data_.unknown >= 0 ? json(name(data_.unknown)) : json();
    switch (data_.kind) {
      case TokenizerKind::byte:
        return no_place_in_json("a tokenizer of single bytes");
      case TokenizerKind::scored_bpe:
        return no_place_in_json("a BPE of scores");
      case TokenizerKind::merge_bpe:
        return json{{"type", "BPE"},
                    {"dropout", nullptr},
                    {"unk_token", unknown},
                    {"continuing_subword_prefix", nullptr},
                    {"end_of_word_suffix", nullptr},
                    {"fuse_unk", data_.fuses_unknown},
                    {"byte_fallback", data_.first_byte >= 0},
                    {"ignore_merges", data_.whole_words},
                    {"vocab", names_and_ids()},
                    {"merges", merges()}};
      case TokenizerKind::word_piece: {
        json model = {{"type", "WordPiece"},
                      {"unk_token", unknown},
                      {"continuing_subword_prefix", std::string(continuation_mark)},
                      {"vocab", names_and_ids()}};
        if (data_.word_characters_max != 0) model["max_input_chars_per_word"] = data_.word_characters_max;
        return model;
      }
      case TokenizerKind::unigram:
        break;
    }
    json vocabulary = json::array();
    for (std::size_t id = 0; id < names_.size(); ++id) vocabulary.push_back({names_[id], data_.scores[id]});
    return json{{"type", "Unigram"},
                {"unk_id", data_.unknown >= 0 ? json(data_.unknown) : json()},
                {"vocab", std::move(vocabulary)},
                {"byte_fallback", data_.first_byte >= 0}};
  }

  /// Steps before the marks go to the normalizer; a space put in front after them is the pre-tokenizer's.
  Result<void> add_normalizer(json& normalizers, json& pre_tokenizers) {
    bool after_mark = false;
    for (const NormalizerStep& step : data_.normalizer) {
      if (has_space_mark_ && is_space_mark_step(step) && !after_mark) {
        after_mark = true;
        continue;
      }
      if (step.op == NormalizerOp::prepend && step.flags != 0) {
        if (step.text != " " || (!data_.byte_symbols && !after_mark))
          return no_place_in_json("what its normalizer puts in");
        scheme_ = (step.flags & NormalizerStep::flag_first) != 0 ? "first" : "always";
        continue;
      }
      if (after_mark) return no_place_in_json("a normalizer after the marks of spaces");
      TESSERA_TRY(json written, write_json_normalizer(step, has_space_mark_));
      normalizers.push_back(std::move(written));
    }
    if (!has_space_mark_) return {};
    splits_at_spaces_ = data_.splitter.size() == 1 && data_.splitter[0].pattern == quote_pattern(" ") &&
                        data_.splitter[0].behavior == SplitBehavior::merged_right;
    if (scheme_ == "never" && !splits_at_spaces_) {
      normalizers.push_back(
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", std::string(space_mark)}});
    } else {
      pre_tokenizers.push_back({{"type", "Metaspace"},
                                {"replacement", std::string(space_mark)},
                                {"prepend_scheme", scheme_},
                                {"split", splits_at_spaces_}});
    }
    return {};
  }

  void add_splitter(json& pre_tokenizers) const {
    const auto add_byte_level = [&](bool use_regex) {
      pre_tokenizers.push_back({{"type", "ByteLevel"},
                                {"add_prefix_space", scheme_ == "always"},
                                {"trim_offsets", true},
                                {"use_regex", use_regex}});
    };
    if (data_.byte_symbols && data_.splitter == std::vector<SplitStep>{{std::string(gpt2_pattern)}}) {
      return add_byte_level(true);
    }
    if (data_.kind == TokenizerKind::word_piece && data_.splitter == word_piece_splitter()) {
      pre_tokenizers.push_back({{"type", "BertPreTokenizer"}});
      return;
    }
    for (const SplitStep& step : data_.splitter) {
      if (splits_at_spaces_) break;
      pre_tokenizers.push_back(write_json_split(step));
    }
    if (data_.byte_symbols) add_byte_level(false);
  }

  json post_processor() const {
    if (data_.prefix.empty() && data_.suffix.empty()) return nullptr;
    json single = json::array(), tokens = json::object();
    const auto add = [&](TokenId id) {
      single.push_back({{"SpecialToken", {{"id", name(id)}, {"type_id", 0}}}});
      tokens[name(id)] = {{"id", name(id)}, {"ids", {id}}, {"tokens", {name(id)}}};
    };
    for (const TokenId id : data_.prefix) add(id);
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    for (const TokenId id : data_.suffix) add(id);
    json pair = single;
    for (json part : single) {
      for (auto& [kind, value] : part.items()) {
        value["type_id"] = 1;
        if (kind == "Sequence") value["id"] = "B";
      }
      pair.push_back(std::move(part));
    }
    return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
  }

  json decoder() const {
    if (data_.byte_symbols) {
      return {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
    }
    if (data_.kind == TokenizerKind::word_piece) {
      return {{"type", "WordPiece"}, {"prefix", std::string(continuation_mark)}, {"cleanup", data_.cleans_up}};
    }
    json steps = json::array();
    if (has_space_mark_) {
      steps.push_back({{"type", "Replace"}, {"pattern", {{"String", std::string(space_mark)}}}, {"content", " "}});
    }
    if (data_.first_byte >= 0) steps.push_back({{"type", "ByteFallback"}});
    steps.push_back({{"type", "Fuse"}});
    if (data_.strips_first_space) {
      steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    }
    return sequence_of("decoders", std::move(steps));
  }

  const TokenizerData& data_;
  bool has_space_mark_;
  bool splits_at_spaces_ = false;
  std::string scheme_ = "never";    // where a space is put before a text
  std::vector<std::string> names_;  // of ids, as the file writes them
};

}  // namespace

Result<std::string> write_tokenizer_json(const TokenizerData& data) {
  try {
    TESSERA_TRY(const json root, Writer(data).write());
    return root.dump(2) + "\n";
  } catch (const std::exception& exception) {  // of nlohmann (pieces that are no UTF-8) and of allocation
    return no_place_in_json(std::string("a piece of this tokenizer (") + exception.what() + ")");
  }
}

}  // namespace tessera
