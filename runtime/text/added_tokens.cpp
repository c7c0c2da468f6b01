#include "runtime/text/added_tokens.hpp"

#include <cstdint>
#include <utility>

#include "runtime/text/unicode.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

/// Start of the last character of `text`, which is not empty.
std::size_t last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && text.size() - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool touches_word(std::string_view before, std::string_view after) {
  if (!before.empty() && is_word_character(first_code_point(before.substr(last_character(before))).value)) return true;
  return !after.empty() && is_word_character(first_code_point(after).value);
}

std::string_view without_blanks_at_end(std::string_view text) {
  while (!text.empty()) {
    const std::size_t last = last_character(text);
    if (!is_white_space(first_code_point(text.substr(last)).value)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view without_blanks_at_start(std::string_view text) {
  while (!text.empty()) {
    const CodePoint character = first_code_point(text);
    if (!is_white_space(character.value)) break;
    text.remove_prefix(character.length);
  }
  return text;
}

}  // namespace

AddedTokens::AddedTokens(std::span<const AddedToken> tokens, std::span<const std::string_view> names, bool normalized)
    : tokens_(tokens) {
  std::vector<PieceTrie::Entry> entries;
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    if (tokens[at].normalized == normalized) entries.emplace_back(names[at], static_cast<TokenId>(at));
  }
  trie_ = PieceTrie(std::move(entries));
}

std::vector<AddedTokens::Fragment> AddedTokens::split(std::string_view text, bool with_special) const {
  std::vector<Fragment> fragments;
  std::size_t begin = 0;  // of the text that no fragment has yet
  const auto add_text = [&](std::string_view rest) {
    if (!rest.empty()) fragments.push_back({rest, -1});
  };
  for (std::size_t at = trie_.empty() ? text.size() : 0; at < text.size();) {
    const AddedToken* best = nullptr;
    std::size_t length = 0;
    if (trie_.may_begin(text[at])) {
      trie_.prefixes(text.substr(at), [&](std::size_t bytes, TokenId place) {
        const AddedToken& token = tokens_[static_cast<std::size_t>(place)];
        if (token.special && !with_special) return;
        if (token.whole_word && touches_word(text.substr(0, at), text.substr(at + bytes))) return;
        best = &token;
        length = bytes;
      });
    }
    if (best == nullptr) {
      ++at;
      continue;
    }
    std::string_view before = text.substr(begin, at - begin), after = text.substr(at + length);
    if (best->strips_left) before = without_blanks_at_end(before);
    if (best->strips_right) after = without_blanks_at_start(after);
    add_text(before);
    fragments.push_back({text.substr(at, length), best->id});
    begin = at = text.size() - after.size();
  }
  add_text(text.substr(begin));
  return fragments;
}

}  // namespace tessera
