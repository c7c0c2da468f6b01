#include "runtime/text/normalizer.hpp"

#include <algorithm>
#include <utility>

#include "runtime/text/unicode.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

using Step = NormalizerStep;

/// How SentencePiece writes a space: U+2581.
constexpr std::string_view space_mark = "\xE2\x96\x81";

/// Calls `take(character, its bytes)` for each; what is no character comes as it is, with is_valid false.
template <typename Take>
void for_each_character(std::string_view text, Take&& take) {
  while (!text.empty()) {
    const CodePoint character = first_code_point(text);
    take(character, text.substr(0, character.length));
    text.remove_prefix(character.length);
  }
}

template <typename Keep>
std::string filtered(std::string_view text, Keep&& keep) {
  std::string result;
  result.reserve(text.size());
  for_each_character(text, [&](const CodePoint& character, std::string_view bytes) {
    if (!character.is_valid || keep(character.value)) result += bytes;
  });
  return result;
}

std::string lower_case(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for_each_character(text, [&](const CodePoint& character, std::string_view bytes) {
    if (character.is_valid) {
      append_lower_case(result, character.value);
    } else {
      result += bytes;
    }
  });
  return result;
}

std::string without_accents(std::string_view text) {
  return filtered(text, [](char32_t character) { return !is_nonspacing_mark(character); });
}

/// Ideographs of Chinese, which BERT's vocabularies know one by one.
bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/// The normalizer of BERT (J. Devlin et al., 2018), as Hugging Face's tokenizers define it.
std::string bert(std::string_view text, std::uint8_t flags) {
  std::string result;
  result.reserve(text.size());
  for_each_character(text, [&](const CodePoint& character, std::string_view bytes) {
    if (!character.is_valid) {
      result += bytes;
      return;
    }
    const char32_t c = character.value;
    if (c > ' ' && c < 0x7F) {
      result += static_cast<char>(c);
      return;
    }
    const bool is_blank = c == '\t' || c == '\n' || c == '\r' || is_white_space(c);
    if ((flags & Step::flag_clean) != 0) {
      if (is_blank) {
        result += ' ';
        return;
      }
      if (c == 0 || c == 0xFFFD || is_other(c)) return;
    }
    if ((flags & Step::flag_chinese) != 0 && is_chinese(c)) {
      result += ' ';
      result += bytes;
      result += ' ';
      return;
    }
    result += bytes;
  });
  if ((flags & Step::flag_accents) != 0) {
    if (auto normal = to_normal_form(result, NormalForm::nfd)) result = without_accents(*normal);
  }
  return (flags & Step::flag_lower) != 0 ? lower_case(result) : result;
}

/// The control characters that SentencePiece's "nmt" rules remove.
bool is_nmt_removed(char32_t c) {
  return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
}

/// The characters that those rules turn into spaces.
bool is_nmt_space(char32_t c) {
  return c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
         c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
}

std::string nmt(std::string_view text) {
  std::string result;
  for_each_character(text, [&](const CodePoint& character, std::string_view bytes) {
    if (character.is_valid && is_nmt_removed(character.value)) return;
    if (character.is_valid && is_nmt_space(character.value)) {
      result += ' ';
    } else {
      result += bytes;
    }
  });
  return result;
}

std::string stripped(std::string_view text, std::uint8_t flags) {
  const auto blanks_at_start = [](std::string_view rest) {
    std::size_t at = 0;
    while (at < rest.size()) {
      const CodePoint character = first_code_point(rest.substr(at));
      if (!character.is_valid || !is_white_space(character.value)) break;
      at += character.length;
    }
    return at;
  };
  if ((flags & Step::flag_left) != 0) text.remove_prefix(blanks_at_start(text));
  while ((flags & Step::flag_right) != 0 && !text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && text.size() - last < 4 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    if (blanks_at_start(text.substr(last)) != text.size() - last) break;
    text.remove_suffix(text.size() - last);
  }
  return std::string(text);
}

std::string replaced(std::string_view text, const std::string& old, const std::string& replacement) {
  std::string result;
  result.reserve(text.size());
  while (true) {
    const std::size_t at = text.find(old);
    result += text.substr(0, at);
    if (at == std::string_view::npos) return result;
    result += replacement;
    text.remove_prefix(at + old.size());
  }
}

std::string replaced(std::string_view text, const Regex& regex, const std::string& replacement,
                     Regex::Scratch& scratch) {
  std::string result;
  while (!text.empty()) {
    const std::string_view valid = text.substr(0, valid_utf8_bytes(text));
    std::size_t at = 0;
    while (at < valid.size()) {
      const Regex::Match match = regex.find(valid, at, scratch);
      if (!match.found) break;
      result += valid.substr(at, match.begin - at);
      result += replacement;
      at = match.end;
    }
    result += valid.substr(at);
    text.remove_prefix(valid.size());
    if (text.empty()) break;
    const std::size_t invalid = scan_utf8(text).length;
    result += text.substr(0, invalid);
    text.remove_prefix(invalid);
  }
  return result;
}

/// SentencePiece's normalisation: the longest entry of the map is replaced, and with flag_trim runs of spaces become
/// one, and those at the ends none. A run counts across entries, not within the replacement of one.
std::string mapped(std::string_view text, const Charsmap& map, bool trims, const PieceTrie& kept) {
  std::string result;
  result.reserve(text.size());
  bool after_space = trims;
  while (!text.empty()) {
    std::size_t length = 0;
    if (kept.may_begin(text[0])) kept.prefixes(text, [&](std::size_t bytes, TokenId) { length = bytes; });
    std::string_view part = text.substr(0, length);
    if (length == 0) {
      const Charsmap::Found found = map.find(text);
      length = found.length > 0 ? found.length : first_code_point(text).length;
      part = found.length > 0 ? found.replacement : text.substr(0, length);
    }
    if (after_space) part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
    result += part;
    if (!part.empty()) after_space = trims && part.ends_with(' ');
    text.remove_prefix(length);
  }
  // Only here a mark in the text counts as the space that it will become.
  std::string_view rest = result;
  while (trims && (rest.ends_with(' ') || rest.ends_with(space_mark))) {
    rest.remove_suffix(rest.ends_with(' ') ? 1 : space_mark.size());
  }
  result.resize(rest.size());
  return result;
}

std::string in_form(std::string text, NormalForm form) {
  auto normal = to_normal_form(text, form);
  return normal ? *std::move(normal) : std::move(text);
}

}  // namespace

Result<Normalizer> Normalizer::create(std::span<const NormalizerStep> steps, const std::string& where) {
  Normalizer normalizer;
  for (const NormalizerStep& what : steps) {
    Normalizer::Step step;
    step.what = &what;
    if (what.op == NormalizerOp::charsmap) {
      TESSERA_TRY(step.map, Charsmap::parse(what.text, where));
    } else if (what.op == NormalizerOp::replace_regex) {
      TESSERA_TRY(Regex regex, Regex::compile(what.text, where));
      step.regex.push_back(std::move(regex));
    } else if (what.op <= NormalizerOp::nfkd || what.op == NormalizerOp::bert) {
      TESSERA_CHECK(check_normal_forms());
    }
    normalizer.steps_.push_back(std::move(step));
  }
  return normalizer;
}

std::string Normalizer::apply(std::string_view text, bool at_start, const PieceTrie& kept,
                              Regex::Scratch& scratch) const {
  std::string result(text);
  for (const Step& step : steps_) result = apply_step(step, std::move(result), at_start, kept, scratch);
  return result;
}

std::string Normalizer::apply_step(const Step& step, std::string text, bool at_start, const PieceTrie& kept,
                                   Regex::Scratch& scratch) {
  const NormalizerStep& what = *step.what;
  switch (what.op) {
    case NormalizerOp::nfc:
      return in_form(std::move(text), NormalForm::nfc);
    case NormalizerOp::nfd:
      return in_form(std::move(text), NormalForm::nfd);
    case NormalizerOp::nfkc:
      return in_form(std::move(text), NormalForm::nfkc);
    case NormalizerOp::nfkd:
      return in_form(std::move(text), NormalForm::nfkd);
    case NormalizerOp::lower_case:
      return lower_case(text);
    case NormalizerOp::strip_accents:
      return without_accents(text);
    case NormalizerOp::strip:
      return stripped(text, what.flags);
    case NormalizerOp::prepend: {
      const bool later = (what.flags & NormalizerStep::flag_first) != 0 && !at_start;
      const bool has_space = (what.flags & NormalizerStep::flag_unless_space) != 0 && text.starts_with(' ');
      return text.empty() || later || has_space ? text : what.text + text;
    }
    case NormalizerOp::append:
      return text.empty() ? text : text + what.text;
    case NormalizerOp::replace:
      return replaced(text, what.text, what.replacement);
    case NormalizerOp::replace_regex:
      return replaced(text, step.regex.front(), what.replacement, scratch);
    case NormalizerOp::charsmap:
      return mapped(text, step.map, (what.flags & NormalizerStep::flag_trim) != 0, kept);
    case NormalizerOp::bert:
      return bert(text, what.flags);
    case NormalizerOp::nmt:
      return nmt(text);
  }
  return text;
}

}  // namespace tessera
