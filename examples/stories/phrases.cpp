#include "examples/stories/phrases.hpp"

#include <vector>

#include "runtime/base/ensure.hpp"

namespace tessera::stories {

namespace {

bool is_lower(char letter) { return letter >= 'a' && letter <= 'z'; }
bool is_letter(char letter) { return is_lower(letter) || (letter >= 'A' && letter <= 'Z'); }

/// "a~ old" → "an old". The words of the stories have no silent h and no u that sounds like "you".
std::string with_articles(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '~') {
      out += text[at];
      continue;
    }
    const std::size_t next = text.find_first_not_of(' ', at + 1);
    TESSERA_ENSURE(next != std::string::npos && is_letter(text[next]));
    if (std::string_view("aeiouAEIOU").find(text[next]) != std::string_view::npos) out += 'n';
  }
  return out;
}

/// What empty alternatives leave behind: two blanks in a row, one before a stop, one at an end.
std::string without_loose_blanks(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char next = at + 1 < text.size() ? text[at + 1] : ' ';
    const bool loose = out.empty() || std::string_view(" .,!?").find(next) != std::string_view::npos;
    if (text[at] != ' ' || !loose) out += text[at];
  }
  return out;
}

/// The first letter, and the first one after a full stop, a question mark or an exclamation mark with a blank.
std::string with_capitals(std::string text) {
  bool capital = true, stopped = false;
  char before = 0;
  for (char& letter : text) {
    if (letter == '.' || letter == '!' || letter == '?') {
      stopped = true;
      before = letter;
      continue;
    }
    if (letter == '"') {
      // Behind `?"` a sentence may go on: `"Why?" asked Tom.` Behind `."` it may not.
      stopped = stopped && before == '.';
    } else if (letter == ' ') {
      capital = capital || stopped;
      stopped = false;
    } else {
      if (capital && is_lower(letter)) letter = static_cast<char>(letter - 'a' + 'A');
      capital = stopped = false;
    }
    before = letter;
  }
  return text;
}

}  // namespace

std::size_t Choice::below(std::size_t count) {
  TESSERA_ENSURE(count > 0);
  const PhiloxCounter words =
      philox(key_, {static_cast<std::uint32_t>(story_), static_cast<std::uint32_t>(story_ >> 32), attempt_, drawn_++});
  return static_cast<std::size_t>(std::uint64_t{words[0]} * count >> 32);
}

void Phrases::set(const std::string& name, std::string_view value) {
  std::string expanded;
  expand(value, expanded);
  values_[name] = std::move(expanded);
}

const std::string& Phrases::get(const std::string& name) const {
  const auto found = values_.find(name);
  TESSERA_ENSURE(found != values_.end());
  return found->second;
}

std::string Phrases::sentence(std::string_view text) const {
  std::string expanded;
  expand(text, expanded);
  return with_capitals(with_articles(without_loose_blanks(expanded)));
}

void Phrases::expand(std::string_view text, std::string& out) const {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '[') {
      at = expand_choice(text, at, out);
    } else if (text[at] == '{') {
      const std::size_t end = text.find('}', at);
      TESSERA_ENSURE(end != std::string_view::npos);
      out += get(std::string(text.substr(at + 1, end - at - 1)));
      at = end;
    } else {
      out += text[at];
    }
  }
}

/// `open` is the place of a '['; returns that of its ']'.
std::size_t Phrases::expand_choice(std::string_view text, std::size_t open, std::string& out) const {
  std::vector<std::string_view> alternatives;
  std::size_t depth = 0, begin = open + 1;
  for (std::size_t at = open; at < text.size(); ++at) {
    if (text[at] == '[') ++depth;
    if (depth == 1 && (text[at] == '|' || text[at] == ']')) {
      alternatives.push_back(text.substr(begin, at - begin));
      begin = at + 1;
    }
    if (text[at] == ']' && --depth == 0) {
      expand(alternatives[choice_.below(alternatives.size())], out);
      return at;
    }
  }
  TESSERA_ENSURE(false);
  return text.size();
}

}  // namespace tessera::stories
