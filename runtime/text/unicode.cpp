#include "runtime/text/unicode.hpp"

#include <exception>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>

#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

constexpr int marks_in_a_row_max = 256;

const icu::Normalizer2* normalizer_of(NormalForm form, UErrorCode& status) {
  switch (form) {
    case NormalForm::nfc:
      return icu::Normalizer2::getNFCInstance(status);
    case NormalForm::nfd:
      return icu::Normalizer2::getNFDInstance(status);
    case NormalForm::nfkc:
      return icu::Normalizer2::getNFKCInstance(status);
    case NormalForm::nfkd:
      return icu::Normalizer2::getNFKDInstance(status);
  }
  return nullptr;
}

Error no_tables(UErrorCode status) {
  return {ErrorCode::exhausted,
          std::string("Unicode text cannot be normalised: ") + u_errorName(status) + "; check the installation of ICU"};
}

bool is_ascii(std::string_view text) {
  for (const char byte : text) {
    if (static_cast<unsigned char>(byte) >= 0x80) return false;
  }
  return true;
}

/// Bytes of valid UTF-8 at the start of `text` that can be normalised alone: the characters, until a run of marks is
/// too long. ICU sorts a run by insertion.
std::size_t bytes_without_long_runs(std::string_view text) {
  int marks = 0;
  std::size_t at = 0;
  while (at < text.size() && marks < marks_in_a_row_max) {
    const CodePoint character = first_code_point(text.substr(at));
    marks = character.value >= 0x300 && u_getCombiningClass(static_cast<UChar32>(character.value)) != 0 ? marks + 1 : 0;
    at += character.length;
  }
  return at;
}

}  // namespace

Result<std::string> to_normal_form(std::string_view text, NormalForm form) {
  if (is_ascii(text)) return std::string(text);
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* const normalizer = normalizer_of(form, status);
  if (U_FAILURE(status) || normalizer == nullptr) return no_tables(status);
  std::string result;
  try {
    while (!text.empty()) {
      const std::size_t valid = valid_utf8_bytes(text);
      for (std::string_view rest = text.substr(0, valid); !rest.empty();) {
        const std::size_t length = bytes_without_long_runs(rest.substr(0, INT32_MAX / 4));
        std::string normal;
        icu::StringByteSink<std::string> sink(&normal);
        normalizer->normalizeUTF8(0, icu::StringPiece(rest.data(), static_cast<std::int32_t>(length)), sink, nullptr,
                                  status);
        if (U_FAILURE(status)) return no_tables(status);
        result += normal;
        rest.remove_prefix(length);
      }
      text.remove_prefix(valid);
      if (text.empty()) break;
      const std::size_t invalid = scan_utf8(text).length;
      result += text.substr(0, invalid);
      text.remove_prefix(invalid);
    }
  } catch (const std::exception& exception) {
    return Error{ErrorCode::exhausted, std::string("text cannot be normalised: ") + exception.what()};
  }
  return result;
}

Result<void> check_normal_forms() {
  for (const NormalForm form : {NormalForm::nfc, NormalForm::nfd, NormalForm::nfkc, NormalForm::nfkd}) {
    UErrorCode status = U_ZERO_ERROR;
    if (normalizer_of(form, status) == nullptr || U_FAILURE(status)) return no_tables(status);
  }
  return {};
}

void append_lower_case(std::string& text, char32_t character) {
  if (character < 0x80) {
    text += static_cast<char>(character >= 'A' && character <= 'Z' ? character + ('a' - 'A') : character);
    return;
  }
  // The one character whose lower case, alone, is two.
  if (character == 0x130) {
    text += "i\xCC\x87";
    return;
  }
  append_utf8(text, static_cast<char32_t>(u_tolower(static_cast<UChar32>(character))));
}

bool is_nonspacing_mark(char32_t character) {
  return character >= 0x300 && u_charType(static_cast<UChar32>(character)) == U_NON_SPACING_MARK;
}

bool is_white_space(char32_t character) { return u_isUWhiteSpace(static_cast<UChar32>(character)) != 0; }

bool is_other(char32_t character) { return (U_GET_GC_MASK(static_cast<UChar32>(character)) & U_GC_C_MASK) != 0; }

bool is_punctuation(char32_t character) { return (U_GET_GC_MASK(static_cast<UChar32>(character)) & U_GC_P_MASK) != 0; }

bool is_word_character(char32_t character) {
  constexpr std::uint32_t mask = U_GC_L_MASK | U_GC_M_MASK | U_GC_ND_MASK | U_GC_NL_MASK | U_GC_PC_MASK;
  return (U_GET_GC_MASK(static_cast<UChar32>(character)) & mask) != 0 || character == 0x200C || character == 0x200D;
}

}  // namespace tessera
