// UTF-8, one character at a time, judged as chapter 3.9 of the Unicode standard does: overlong forms, surrogates and
// values above U+10FFFF are ill-formed, and each maximal subpart of an ill-formed sequence counts as one error.
//
//   scan_utf8("\xE2\x82\xAC...") → {3, complete}          scan_utf8("\xE2\x82") → {2, unfinished}
//   scan_utf8("\xE2\x82x")       → {2, ill_formed}
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera {

enum class Utf8Verdict {
  complete,    ///< a character
  ill_formed,  ///< a maximal subpart: no continuation can make it a character
  unfinished,  ///< all that there is, and more bytes could make it a character
};

struct Utf8Scan {
  std::size_t length;  ///< bytes that the verdict is about, 1..4
  Utf8Verdict verdict;
};

/// Looks at the start of `bytes`, which must not be empty. Any thread.
Utf8Scan scan_utf8(std::string_view bytes);

/// The character at the start of a text.
struct CodePoint {
  char32_t value;      ///< U+FFFD where the bytes are no character
  std::size_t length;  ///< bytes, at least 1
  bool is_valid;
};

/// `bytes` must not be empty. Any thread.
CodePoint first_code_point(std::string_view bytes);

/// Appends the UTF-8 of a code point, which is no surrogate and at most U+10FFFF.
void append_utf8(std::string& text, char32_t value);

/// Bytes at the start of `bytes` that are well-formed characters.
std::size_t valid_utf8_bytes(std::string_view bytes);

/// What stands for one error: U+FFFD.
inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// `bytes` with each maximal ill-formed subpart, also an unfinished one at the end, replaced by U+FFFD: always valid
/// UTF-8.
std::string to_valid_utf8(std::string_view bytes);

}  // namespace tessera
