#include "runtime/importers/tokenizer_json_steps.hpp"

#include <optional>
#include <utility>

#include "runtime/base/base64.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/importers/splitter_presets.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/regex.hpp"
#include "runtime/text/splitter.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

constexpr std::size_t nested_steps_max = 4;

std::string shown(const std::string& text) { return to_valid_utf8(text.substr(0, 60)); }

/// Calls `read(step)` for the step that `view` is, or for each of the sequence that it is.
template <typename Read>
Result<void> for_each_step(const JsonView& view, const char* list, std::size_t depth, Read&& read) {
  TESSERA_TRY(const std::string type, view.text("type"));
  if (type != "Sequence") return read(view, type);
  if (depth == nested_steps_max) return view.wrong("is nested too deeply");
  TESSERA_TRY(const JsonView steps, view.member(list));
  TESSERA_TRY(const std::size_t count, steps.array_size());
  if (count > limits::text_steps_max) return steps.wrong("has too many steps");
  for (std::size_t at = 0; at < count; ++at) {
    TESSERA_CHECK(for_each_step(steps.element(at), list, depth + 1, read));
  }
  return {};
}

struct Pattern {
  std::string text;
  bool is_regex = false;
};

/// {"String": "…"} or {"Regex": "…"}
Result<Pattern> read_pattern(const JsonView& view) {
  TESSERA_TRY(const JsonView pattern, view.member("pattern"));
  if (pattern.has("String")) {
    TESSERA_TRY(std::string text, pattern.text("String"));
    return Pattern{std::move(text), false};
  }
  TESSERA_TRY(std::string text, pattern.text("Regex"));
  return Pattern{std::move(text), true};
}

Result<void> read_replace(const JsonView& view, TokenizerData& data, JsonSteps& steps) {
  TESSERA_TRY(Pattern pattern, read_pattern(view));
  TESSERA_TRY(std::string content, view.text("content"));
  if (!pattern.is_regex && pattern.text == " " && content == space_mark) {
    steps.has_space_mark = true;
    return {};
  }
  if (pattern.text.empty()) return view.wrong("replaces nothing");
  const NormalizerOp op = pattern.is_regex ? NormalizerOp::replace_regex : NormalizerOp::replace;
  data.normalizer.push_back({op, 0, std::move(pattern.text), std::move(content)});
  return {};
}

Result<void> read_bert_normalizer(const JsonView& view, TokenizerData& data) {
  TESSERA_TRY(const bool clean, view.flag_or("clean_text", true));
  TESSERA_TRY(const bool chinese, view.flag_or("handle_chinese_chars", true));
  TESSERA_TRY(const bool lower, view.flag_or("lowercase", true));
  TESSERA_TRY(const bool accents, view.flag_or("strip_accents", lower));
  const int flags = (clean ? NormalizerStep::flag_clean : 0) | (chinese ? NormalizerStep::flag_chinese : 0) |
                    (accents ? NormalizerStep::flag_accents : 0) | (lower ? NormalizerStep::flag_lower : 0);
  data.normalizer.push_back({NormalizerOp::bert, static_cast<std::uint8_t>(flags), {}, {}});
  return {};
}

Result<void> read_strip(const JsonView& view, TokenizerData& data) {
  TESSERA_TRY(const bool left, view.flag_or("strip_left", true));
  TESSERA_TRY(const bool right, view.flag_or("strip_right", true));
  const int flags = (left ? NormalizerStep::flag_left : 0) | (right ? NormalizerStep::flag_right : 0);
  data.normalizer.push_back({NormalizerOp::strip, static_cast<std::uint8_t>(flags), {}, {}});
  return {};
}

Result<void> read_normalizer_step(const JsonView& view, const std::string& type, TokenizerData& data,
                                  JsonSteps& steps) {
  constexpr std::pair<const char*, NormalizerOp> plain[] = {
      {"NFC", NormalizerOp::nfc},
      {"NFD", NormalizerOp::nfd},
      {"NFKC", NormalizerOp::nfkc},
      {"NFKD", NormalizerOp::nfkd},
      {"Lowercase", NormalizerOp::lower_case},
      {"StripAccents", NormalizerOp::strip_accents},
      {"Nmt", NormalizerOp::nmt},
  };
  for (const auto& [name, op] : plain) {
    if (type != name) continue;
    data.normalizer.push_back({op, 0, {}, {}});
    return {};
  }
  if (type == "Replace") return read_replace(view, data, steps);
  if (type == "BertNormalizer") return read_bert_normalizer(view, data);
  if (type == "Strip") return read_strip(view, data);
  if (type == "Prepend") {
    TESSERA_TRY(std::string text, view.text("prepend"));
    data.normalizer.push_back({NormalizerOp::prepend, 0, std::move(text), {}});
    return {};
  }
  if (type == "Precompiled") {
    TESSERA_TRY(const std::string text, view.text_or("precompiled_charsmap", ""));
    std::optional<std::string> map = decode_base64(text);
    if (!map) return view.wrong("has a map of characters that is no base64");
    data.normalizer.push_back({NormalizerOp::charsmap, 0, *std::move(map), {}});
    return {};
  }
  if (type == "ByteLevel") {
    steps.is_byte_level = true;
    return {};
  }
  return view.unsupported("is of the type " + shown(type));
}

/// Reads the steps of a pre-tokenizer, which depend on those before them.
class PreTokenizer {
 public:
  PreTokenizer(TokenizerData& data, JsonSteps& steps) : data_(data), steps_(steps) {}

  Result<void> read(const JsonView& view, const std::string& type) {
    if (type == "ByteLevel") return read_byte_level(view);
    if (type == "Split") return read_split(view);
    if (type == "Metaspace") return read_metaspace(view);
    if (type == "Digits") return read_digits(view);
    if (type == "Punctuation") return read_punctuation(view);
    if (type == "BertPreTokenizer") {
      for (SplitStep& step : word_piece_splitter()) data_.splitter.push_back(std::move(step));
      return {};
    }
    if (type == "Whitespace") {
      add(R"([\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}]+|[^\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\s]+)", SplitBehavior::removed, true);
      return {};
    }
    if (type == "WhitespaceSplit") {
      add(std::string(white_space), SplitBehavior::removed, false);
      return {};
    }
    if (type == "CharDelimiterSplit") {
      TESSERA_TRY(const std::string delimiter, view.text("delimiter"));
      if (delimiter.empty()) return view.wrong("has no delimiter");
      add(quote_pattern(delimiter), SplitBehavior::removed, false);
      return {};
    }
    return view.unsupported("is of the type " + shown(type));
  }

 private:
  static constexpr std::string_view white_space = R"(\s+)";

  void add(std::string pattern, SplitBehavior behavior, bool inverted) {
    data_.splitter.push_back({std::move(pattern), behavior, inverted});
  }

  Result<SplitBehavior> read_behavior(const JsonView& view) {
    constexpr std::pair<const char*, SplitBehavior> known[] = {
        {"Removed", SplitBehavior::removed},
        {"Isolated", SplitBehavior::isolated},
        {"MergedWithPrevious", SplitBehavior::merged_left},
        {"MergedWithNext", SplitBehavior::merged_right},
        {"Contiguous", SplitBehavior::contiguous},
    };
    TESSERA_TRY(const std::string name, view.text_or("behavior", "Isolated"));
    for (const auto& [text, behavior] : known) {
      if (name == text) return behavior;
    }
    return view.unsupported("splits in the way " + shown(name));
  }

  Result<void> read_byte_level(const JsonView& view) {
    steps_.is_byte_level = true;
    TESSERA_TRY(const bool add_space, view.flag_or("add_prefix_space", true));
    TESSERA_TRY(const bool use_regex, view.flag_or("use_regex", true));
    if (add_space && !data_.splitter.empty()) return view.unsupported("puts a space before every word");
    if (add_space) data_.normalizer.push_back({NormalizerOp::prepend, NormalizerStep::flag_unless_space, " ", {}});
    if (use_regex) add(std::string(gpt2_pattern), SplitBehavior::isolated, false);
    return {};
  }

  Result<void> read_split(const JsonView& view) {
    TESSERA_TRY(Pattern pattern, read_pattern(view));
    TESSERA_TRY(const SplitBehavior behavior, read_behavior(view));
    TESSERA_TRY(const bool inverted, view.flag_or("invert", false));
    if (pattern.text.empty()) return view.wrong("has an empty pattern");
    if (steps_.has_space_mark) {
      // It meets marks where there are plain spaces here.
      if (pattern.is_regex) return view.unsupported("splits text with space marks by a pattern");
      if (pattern.text.find(' ') != std::string::npos) return {};
    }
    // As DeepSeek writes it, every place of a run of spaces would be looked at for every other.
    if (pattern.is_regex && pattern.text == R"(\s+$)") pattern.text = R"((?<!\s)\s++\z)";
    add(pattern.is_regex ? std::move(pattern.text) : quote_pattern(pattern.text), behavior, inverted);
    return {};
  }

  Result<void> read_metaspace(const JsonView& view) {
    TESSERA_TRY(const std::string replacement, view.text_or("replacement", std::string(space_mark)));
    if (replacement != space_mark) return view.unsupported("writes spaces as " + shown(replacement));
    steps_.has_space_mark = true;
    TESSERA_TRY(const bool adds_space, view.flag_or("add_prefix_space", true));
    TESSERA_TRY(const std::string scheme, view.text_or("prepend_scheme", adds_space ? "always" : "never"));
    TESSERA_TRY(const bool splits, view.flag_or("split", true));
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      return view.unsupported("puts spaces before words in the way " + shown(scheme));
    }
    const bool follows_words = data_.splitter.size() == 1 && data_.splitter.front().pattern == white_space &&
                               data_.splitter.front().behavior == SplitBehavior::removed;
    if (!data_.splitter.empty() && !(follows_words && scheme == "always")) {
      return view.unsupported("follows another pre-tokenizer");
    }
    if (follows_words) {
      // Words that lose their spaces and then get one each: one space before every word.
      data_.splitter.clear();
      data_.normalizer.push_back({NormalizerOp::replace_regex, 0, std::string(white_space), " "});
      data_.normalizer.push_back({NormalizerOp::strip, NormalizerStep::flag_left | NormalizerStep::flag_right, {}, {}});
    }
    add_space_mark_step(data_.normalizer);
    if (scheme != "never") {
      const int flags = NormalizerStep::flag_unless_space | (scheme == "first" ? NormalizerStep::flag_first : 0);
      data_.normalizer.push_back({NormalizerOp::prepend, static_cast<std::uint8_t>(flags), " ", {}});
    }
    if (splits) add(quote_pattern(" "), SplitBehavior::merged_right, false);
    return {};
  }

  Result<void> read_digits(const JsonView& view) {
    TESSERA_TRY(const bool individual, view.flag_or("individual_digits", false));
    // After the step to GPT-2's alphabet only the digits of ASCII are still digits.
    const std::string digit = steps_.is_byte_level ? "[0-9]" : R"(\p{N})";
    add(individual ? digit : digit + "+", SplitBehavior::isolated, false);
    return {};
  }

  Result<void> read_punctuation(const JsonView& view) {
    TESSERA_TRY(const SplitBehavior behavior, read_behavior(view));
    add(R"([\p{P}!-/:-@\[-`{-~])", behavior, false);
    return {};
  }

  TokenizerData& data_;
  JsonSteps& steps_;
};

Result<TokenId> added_named(const JsonView& view, const std::string& name, const TokenizerData& data) {
  const TokenId id = added_id(data, name);
  if (id < 0) return view.wrong("names the token " + shown(name) + ", which is not among the added tokens");
  return id;
}

/// {"SpecialToken": {"id": "<s>"}} or {"Sequence": {"id": "A"}}
Result<void> read_template(const JsonView& view, TokenizerData& data) {
  TESSERA_TRY(const JsonView single, view.member("single"));
  TESSERA_TRY(const std::size_t count, single.array_size());
  if (count > 2 * limits::frame_ids_max + 1) return single.wrong("is too long");
  bool after = false;
  for (std::size_t at = 0; at < count; ++at) {
    const JsonView part = single.element(at);
    if (!part.has("SpecialToken")) {
      if (after || !part.has("Sequence")) return part.wrong("is neither a special token nor the text");
      after = true;
      continue;
    }
    TESSERA_TRY(const JsonView token, part.member("SpecialToken"));
    TESSERA_TRY(const std::string name, token.text("id"));
    TESSERA_TRY(const TokenId id, added_named(token, name, data));
    (after ? data.suffix : data.prefix).push_back(id);
  }
  return {};
}

/// ["</s>", 2]
Result<TokenId> read_name_and_id(const JsonView& view, const char* key, const TokenizerData& data) {
  TESSERA_TRY(const JsonView pair, view.member(key));
  if (!pair.value().is_array() || pair.value().size() != 2 || !pair.value()[0].is_string()) {
    return pair.wrong("is not a name and an id");
  }
  return added_named(pair, pair.value()[0].get<std::string>(), data);
}

}  // namespace

Result<void> read_json_normalizer(const JsonView& view, TokenizerData& data, JsonSteps& steps) {
  TESSERA_CHECK(for_each_step(view, "normalizers", 0, [&](const JsonView& step, const std::string& type) {
    return read_normalizer_step(step, type, data, steps);
  }));
  if (!steps.has_space_mark) return {};
  // Spaces stay spaces here; a mark that a step puts in, or that stands in the text, is one as well.
  for (NormalizerStep& step : data.normalizer) {
    if (step.op == NormalizerOp::prepend) step.text = with_plain_spaces(step.text);
    if (step.op == NormalizerOp::replace || step.op == NormalizerOp::replace_regex) {
      step.replacement = with_plain_spaces(step.replacement);
    }
  }
  add_space_mark_step(data.normalizer);
  return {};
}

Result<void> read_json_pre_tokenizer(const JsonView& view, TokenizerData& data, JsonSteps& steps) {
  PreTokenizer reader(data, steps);
  TESSERA_CHECK(for_each_step(view, "pretokenizers", 0,
                              [&](const JsonView& step, const std::string& type) { return reader.read(step, type); }));
  if (!steps.has_space_mark) return {};
  for (SplitStep& step : data.splitter) step.pattern = with_plain_spaces(step.pattern);
  return {};
}

Result<void> read_json_post_processor(const JsonView& view, TokenizerData& data) {
  return for_each_step(view, "processors", 0, [&](const JsonView& step, const std::string& type) -> Result<void> {
    if (type == "ByteLevel") return {};
    if (type == "TemplateProcessing") return read_template(step, data);
    if (type == "RobertaProcessing" || type == "BertProcessing") {
      TESSERA_TRY(const TokenId begin, read_name_and_id(step, "cls", data));
      TESSERA_TRY(const TokenId end, read_name_and_id(step, "sep", data));
      data.prefix.push_back(begin);
      data.suffix.push_back(end);
      return {};
    }
    return step.unsupported("is of the type " + shown(type));
  });
}

Result<void> read_json_decoder(const JsonView& view, TokenizerData& data, JsonSteps& steps) {
  return for_each_step(view, "decoders", 0, [&](const JsonView& step, const std::string& type) -> Result<void> {
    if (type == "ByteLevel") {
      steps.is_byte_level = true;
      return {};
    }
    if (type == "ByteFallback" || type == "Fuse" || type == "Replace") return {};
    if (type == "Strip") {
      TESSERA_TRY(const std::string content, step.text_or("content", " "));
      TESSERA_TRY(const std::uint32_t start, step.has("start") ? step.count("start", 1) : Result<std::uint32_t>(0u));
      if (content == " " && start == 1) data.strips_first_space = true;
      return {};
    }
    if (type == "Metaspace") {
      TESSERA_TRY(const bool adds_space, step.flag_or("add_prefix_space", true));
      TESSERA_TRY(const std::string scheme, step.text_or("prepend_scheme", adds_space ? "always" : "never"));
      data.strips_first_space = scheme != "never";
      return {};
    }
    if (type == "WordPiece") {
      TESSERA_TRY(data.cleans_up, step.flag_or("cleanup", true));
      return {};
    }
    return step.unsupported("is of the type " + shown(type));
  });
}

}  // namespace tessera
