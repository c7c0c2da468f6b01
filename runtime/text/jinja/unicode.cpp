#include "runtime/text/jinja/unicode.hpp"

#include <algorithm>

#include "runtime/text/jinja/unicode_tables.hpp"

namespace tessera::jinja {

namespace {

constexpr char32_t capital_sigma = 0x3A3, small_sigma = 0x3C3, final_sigma = 0x3C2;

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

void append_mapped(std::string& out, const CaseTable& table, char32_t character) {
  const auto special = std::lower_bound(table.specials.begin(), table.specials.end(), character,
                                        [](const SpecialCase& s, char32_t c) { return s.character < c; });
  if (special != table.specials.end() && special->character == character) {
    out += special->text;
    return;
  }
  auto run = std::upper_bound(table.runs.begin(), table.runs.end(), character,
                              [](char32_t c, const CaseRun& r) { return c < r.first; });
  if (run != table.runs.begin()) {
    --run;
    if (character <= run->last && (character - run->first) % run->stride == 0) {
      character = static_cast<char32_t>(static_cast<std::int64_t>(character) + run->delta);
    }
  }
  append_character(out, character);
}

/// Chapter 3.13 of the Unicode standard, "Final_Sigma", for the sigma at bytes [begin, end).
bool is_final_sigma(std::string_view text, std::size_t begin, std::size_t end) {
  char32_t character = 0;
  bool cased_before = false;
  while (begin > 0) {
    character = previous_character(text, begin);
    if (has_flag(character, is_ignorable)) continue;
    cased_before = has_flag(character, is_cased);
    break;
  }
  if (!cased_before) return false;
  while (end < text.size()) {
    character = next_character(text, end);
    if (has_flag(character, is_ignorable)) continue;
    return !has_flag(character, is_cased);
  }
  return true;
}

void append_lower(std::string& out, std::string_view text, std::size_t begin, std::size_t end, char32_t character) {
  if (character == capital_sigma) {
    append_character(out, is_final_sigma(text, begin, end) ? final_sigma : small_sigma);
  } else {
    append_mapped(out, lower_case(), character);
  }
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool is_stripped(char32_t character, const std::u32string* characters) {
  return characters ? characters->find(character) != std::u32string::npos : has_flag(character, is_space);
}

}  // namespace

std::uint16_t character_flags(char32_t character) {
  const auto runs = property_runs();
  const auto next = std::upper_bound(runs.begin(), runs.end(), character,
                                     [](char32_t c, const PropertyRun& run) { return c < run.first; });
  return next == runs.begin() ? std::uint16_t{0} : std::prev(next)->flags;
}

char32_t next_character(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t length = character_bytes(text, at);
  char32_t character = length == 1 ? lead : lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i)
    character = (character << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3F);
  at += length;
  return character;
}

char32_t previous_character(std::string_view text, std::size_t& end) {
  do {
    --end;
  } while (end > 0 && continues(text[end]));
  std::size_t at = end;
  return next_character(text, at);
}

void append_character(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xC0 | (c >> 6));
    text += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    text += static_cast<char>(0xE0 | (c >> 12));
    text += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | (c >> 18));
    text += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    text += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (c & 0x3F));
  }
}

std::u32string to_characters(std::string_view text) {
  std::u32string characters;
  for (std::size_t at = 0; at < text.size();) characters += next_character(text, at);
  return characters;
}

std::string to_utf8(std::u32string_view characters) {
  std::string text;
  for (const char32_t character : characters) append_character(text, character);
  return text;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) { return !continues(byte); }));
}

std::size_t byte_of_character(std::string_view text, std::size_t index) {
  std::size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += character_bytes(text, at);
  return at;
}

std::size_t character_bytes(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && end - at < 4 && continues(text[end])) ++end;
  return end - at;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) append_mapped(out, upper_case(), next_character(text, at));
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t character = next_character(text, at);
    append_lower(out, text, begin, at, character);
  }
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t character = next_character(text, at);
    if (in_word) {
      append_lower(out, text, begin, at, character);
    } else {
      append_mapped(out, title_case(), character);
    }
    in_word = has_flag(character, is_cased | is_lower | is_upper | is_title);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t character = next_character(text, at);
    if (begin == 0) {
      append_mapped(out, title_case(), character);
    } else {
      append_lower(out, text, begin, at, character);
    }
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t character = next_character(text, at);
    if (has_flag(character, is_upper)) {
      append_lower(out, text, begin, at, character);
    } else if (has_flag(character, is_lower)) {
      append_mapped(out, upper_case(), character);
    } else {
      append_character(out, character);
    }
  }
  return out;
}

std::string_view strip_left(std::string_view text, const std::u32string* characters) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t next = begin;
    if (!is_stripped(next_character(text, next), characters)) break;
    begin = next;
  }
  return text.substr(begin);
}

std::string_view strip_right(std::string_view text, const std::u32string* characters) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t next = end;
    if (!is_stripped(previous_character(text, next), characters)) break;
    end = next;
  }
  return text.substr(0, end);
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at;
    const char32_t character = next_character(text, at);
    if (!is_line_end(character)) continue;
    if (character == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

}  // namespace tessera::jinja
