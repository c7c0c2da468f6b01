#include "runtime/text/jinja/literals.hpp"

#include <algorithm>
#include <cstdlib>

#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

int digit_value(char c) {
  if (is_ascii_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

/// Digits with single underscores between them, from `at`.
std::size_t digits_end(std::string_view text, std::size_t at, int base = 10) {
  const auto is_digit_at = [&](std::size_t i) { return i < text.size() && digit_value(text[i]) < base; };
  if (!is_digit_at(at)) return at;
  while (is_digit_at(at) || (at < text.size() && text[at] == '_' && is_digit_at(at + 1))) ++at;
  return at;
}

std::string without_underscores(std::string_view text) {
  std::string result(text);
  std::erase(result, '_');
  return result;
}

std::optional<Integer> integer_of_digits(std::string_view digits, int base) {
  Integer value = 0;
  for (const char digit : digits) {
    if (digit == '_') continue;
    const auto shifted = checked_multiply(value, base);
    const auto sum = shifted ? checked_add(*shifted, digit_value(digit)) : std::nullopt;
    if (!sum) return std::nullopt;
    value = *sum;
  }
  return value;
}

int base_of_prefix(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 10;
  switch (text[1]) {
    case 'x':
    case 'X':
      return 16;
    case 'o':
    case 'O':
      return 8;
    case 'b':
    case 'B':
      return 2;
    default:
      return 10;
  }
}

Result<void> append_hex(std::string& out, std::string_view inside, std::size_t& at, std::size_t digits) {
  if (inside.size() - at < digits) return Error{ErrorCode::corrupt, "an escape in a string lacks digits"};
  char32_t character = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const int value = digit_value(inside[at + i]);
    if (value >= 16) return Error{ErrorCode::corrupt, "an escape in a string lacks digits"};
    character = character * 16 + static_cast<char32_t>(value);
  }
  if (character > 0x10FFFF || (character >= 0xD800 && character < 0xE000)) {
    return Error{ErrorCode::corrupt, "an escape in a string is no character of Unicode"};
  }
  append_character(out, character);
  at += digits;
  return {};
}

void append_octal(std::string& out, std::string_view inside, std::size_t& at) {
  char32_t character = 0;
  for (std::size_t end = std::min(at + 3, inside.size()); at < end && inside[at] >= '0' && inside[at] <= '7'; ++at) {
    character = character * 8 + static_cast<char32_t>(inside[at] - '0');
  }
  append_character(out, character);
}

/// A backslash before a character beyond ASCII stays one, and the character becomes its own escape's text: that is how
/// the reference comes from ASCII back to Unicode.
void append_escaped_name(std::string& out, std::string_view inside, std::size_t& at) {
  static constexpr char hex[] = "0123456789abcdef";
  const char32_t c = next_character(inside, at);
  const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
  out += '\\';
  out += digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += hex[(c >> shift) & 0xF];
}

Result<void> append_escape(std::string& out, std::string_view inside, std::size_t& at) {
  static constexpr std::string_view plain = "\\'\"abfnrtv", meaning = "\\'\"\a\b\f\n\r\t\v";
  const char c = inside[at];
  if (const std::size_t known = plain.find(c); known != std::string_view::npos) {
    out += meaning[known];
    ++at;
    return {};
  }
  if (c == '\n') {  // goes on in the next line
    ++at;
    return {};
  }
  if (c >= '0' && c <= '7') {
    append_octal(out, inside, at);
    return {};
  }
  if (c == 'x') return append_hex(out, inside, ++at, 2);
  if (c == 'u') return append_hex(out, inside, ++at, 4);
  if (c == 'U') return append_hex(out, inside, ++at, 8);
  if (c == 'N') return Error{ErrorCode::unsupported, "characters by name (\\N{…}) are not supported in strings"};
  if (static_cast<unsigned char>(c) >= 0x80) {
    append_escaped_name(out, inside, at);
  } else {
    out += '\\';
  }
  return {};
}

/// Takes a sign from the front.
bool take_minus(std::string_view& text) {
  const bool minus = text.starts_with('-');
  if (minus || text.starts_with('+')) text.remove_prefix(1);
  return minus;
}

}  // namespace

std::size_t real_literal_bytes(std::string_view text) {
  const std::size_t whole = digits_end(text, 0);
  if (whole == 0) return 0;
  std::size_t end = whole;
  if (end < text.size() && text[end] == '.') {
    const std::size_t fraction = digits_end(text, end + 1);
    if (fraction != end + 1) end = fraction;
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    const std::size_t sign = end + 1 < text.size() && (text[end + 1] == '+' || text[end + 1] == '-') ? 1 : 0;
    const std::size_t exponent = digits_end(text, end + 1 + sign);
    if (exponent != end + 1 + sign) return exponent;
  }
  return end == whole ? 0 : end;
}

std::size_t integer_literal_bytes(std::string_view text) {
  if (text.empty() || !is_ascii_digit(text[0])) return 0;
  const int base = base_of_prefix(text);
  if (base != 10) {
    const std::size_t begin = text.size() > 2 && text[2] == '_' ? 3 : 2;
    if (const std::size_t end = digits_end(text, begin, base); end != begin) return end;
  }
  if (text[0] != '0') return digits_end(text, 0);
  std::size_t end = 1;
  while (end < text.size() && (text[end] == '0' || (text[end] == '_' && text.substr(end + 1).starts_with('0')))) ++end;
  return end;
}

double real_of_literal(std::string_view literal) { return std::strtod(without_underscores(literal).c_str(), nullptr); }

std::optional<Integer> integer_of_literal(std::string_view literal) {
  const int base = base_of_prefix(literal);
  return integer_of_digits(literal.substr(base == 10 ? 0 : 2), base);
}

Result<std::string> unescape(std::string_view inside) {
  std::string out;
  out.reserve(inside.size());
  for (std::size_t at = 0; at < inside.size();) {
    if (inside[at] != '\\' || at + 1 == inside.size()) {
      out += inside[at++];
    } else {
      TESSERA_CHECK(append_escape(out, inside, ++at));
    }
  }
  return out;
}

std::optional<Integer> parse_integer(std::string_view text, int base) {
  text = strip(text);
  const bool minus = take_minus(text);
  const int prefix = base_of_prefix(text);
  if ((base == 0 || base == prefix) && prefix != 10) {
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
    base = prefix;
  } else if (base == 0) {
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != std::string_view::npos)
      return std::nullopt;
    base = 10;
  }
  if (text.empty() || digits_end(text, 0, base) != text.size()) return std::nullopt;
  const auto value = integer_of_digits(text, base);
  if (!value) return std::nullopt;
  return minus ? -*value : *value;
}

std::optional<double> parse_real(std::string_view text) {
  text = strip(text);
  const std::string_view whole = text;
  const bool minus = take_minus(text);
  const std::string word = to_lower(text);
  if (word == "nan") return minus ? -std::strtod("nan", nullptr) : std::strtod("nan", nullptr);
  if (word == "inf" || word == "infinity") return minus ? -std::strtod("inf", nullptr) : std::strtod("inf", nullptr);
  // digits [. digits] [e digits], where either part of the mantissa may be missing.
  const std::size_t whole_end = digits_end(text, 0);
  std::size_t end = whole_end;
  bool has_digits = end > 0;
  if (end < text.size() && text[end] == '.') {
    const std::size_t fraction = digits_end(text, end + 1);
    has_digits = has_digits || fraction != end + 1;
    end = fraction;
  }
  if (!has_digits) return std::nullopt;
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    const std::size_t sign = end + 1 < text.size() && (text[end + 1] == '+' || text[end + 1] == '-') ? 1 : 0;
    const std::size_t exponent = digits_end(text, end + 1 + sign);
    if (exponent == end + 1 + sign) return std::nullopt;
    end = exponent;
  }
  if (end != text.size()) return std::nullopt;
  return std::strtod(without_underscores(whole).c_str(), nullptr);
}

std::optional<Integer> checked_multiply(Integer left, Integer right) {
  Integer result = 0;
  if (__builtin_mul_overflow(left, right, &result)) return std::nullopt;
  return result;
}

std::optional<Integer> checked_add(Integer left, Integer right) {
  Integer result = 0;
  if (__builtin_add_overflow(left, right, &result)) return std::nullopt;
  return result;
}

}  // namespace tessera::jinja
