// Numbers and strings as Python formats them: the printf style ('%5.2f' % x) and the format specification of
// str.format ('{:>8,.2f}').
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/run.hpp"

namespace tessera::jinja {

/// The most characters of a field, and of the digits behind a point.
inline constexpr std::int64_t format_width_max = 100'000;
inline constexpr int format_precision_max = 1000;

/// 'e', 'f', 'g' or their capitals. NaN and infinity are words. `alternate`: # of the format.
std::string format_real(double value, char type, int precision, bool alternate);
/// Digits of |value| in base 2, 8, 10 or 16, lower case.
std::string digits_of(Integer value, int base);

/// What stands behind the colon of '{:…}'.
struct FormatSpec {
  char32_t fill = ' ';
  bool has_fill = false;
  char align = '\0';  // < > ^ =
  char sign = '-';    // + - or space
  bool alternate = false, zero = false;
  std::int64_t width = 0;
  char grouping = '\0';  // , or _
  std::optional<int> precision;
  char type = '\0';
};
Result<FormatSpec> parse_format_spec(Run& run, std::string_view text);
/// format(value, spec)
Result<std::string> format_value(Run& run, const Value& value, std::string_view spec);

/// text in a field of `width` characters.
std::string aligned(std::string_view text, std::int64_t width, char align, char32_t fill);

}  // namespace tessera::jinja
