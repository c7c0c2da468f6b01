// Text as Python's str sees it: a row of code points, with Python's classes and letter case. All strings are valid
// UTF-8; positions and lengths in this header count code points unless they are called bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::jinja {

/// What a character is; the names of Python's methods.
enum CharacterFlag : std::uint16_t {
  is_alpha = 1 << 0,
  is_decimal = 1 << 1,
  is_digit = 1 << 2,
  is_numeric = 1 << 3,
  is_space = 1 << 4,
  is_printable = 1 << 5,
  is_lower = 1 << 6,
  is_upper = 1 << 7,
  is_title = 1 << 8,
  is_cased = 1 << 9,       ///< for the final sigma
  is_ignorable = 1 << 10,  ///< likewise
};
std::uint16_t character_flags(char32_t character);
inline bool has_flag(char32_t character, std::uint16_t any_of) { return (character_flags(character) & any_of) != 0; }

/// The code point at byte `at`, which moves behind it.
char32_t next_character(std::string_view text, std::size_t& at);
/// The code point that ends before byte `end`, which moves before it.
char32_t previous_character(std::string_view text, std::size_t& end);
void append_character(std::string& text, char32_t character);
std::u32string to_characters(std::string_view text);
std::string to_utf8(std::u32string_view characters);

std::size_t count_characters(std::string_view text);
/// The byte at which character `index` starts; the size of the text where there are fewer.
std::size_t byte_of_character(std::string_view text, std::size_t index);
/// The length in bytes of the character that starts at byte `at`.
std::size_t character_bytes(std::string_view text, std::size_t at);

std::string to_upper(std::string_view text);
/// With the final sigma's rule.
std::string to_lower(std::string_view text);
/// First letter of each word in title case, the rest lower: str.title().
std::string to_title(std::string_view text);
std::string capitalize(std::string_view text);
std::string swap_case(std::string_view text);

/// Without what Python's strip() takes away: white space, or any of `characters`.
std::string_view strip_left(std::string_view text, const std::u32string* characters = nullptr);
std::string_view strip_right(std::string_view text, const std::u32string* characters = nullptr);
inline std::string_view strip(std::string_view text, const std::u32string* characters = nullptr) {
  return strip_left(strip_right(text, characters), characters);
}

/// str.splitlines(): at every line end that Unicode knows; views into the text.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends = false);

}  // namespace tessera::jinja
