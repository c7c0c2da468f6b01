// What the Unicode standard says of characters, from ICU: normal forms, lower case, categories.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// The normal form of `text` (Unicode standard annex 15). Bytes that are no characters stay as they are. A run of more
/// than 256 combining marks is cut, as the stream-safe format of that annex does, so that the time is linear. Errors:
/// exhausted. Any thread.
Result<std::string> to_normal_form(std::string_view text, NormalForm form);

/// Whether the library's tables can be loaded; to_normal_form() needs them.
Result<void> check_normal_forms();

/// Appends the lower case of one character, by itself: no rule looks at its neighbours.
void append_lower_case(std::string& text, char32_t character);

bool is_nonspacing_mark(char32_t character);  ///< category Mn
bool is_white_space(char32_t character);      ///< property White_Space
bool is_other(char32_t character);            ///< categories Cc, Cf, Cn, Co, Cs
bool is_punctuation(char32_t character);      ///< categories P*
bool is_word_character(char32_t character);   ///< letters, marks, digits, letter numbers, connectors, joiners

}  // namespace tessera
