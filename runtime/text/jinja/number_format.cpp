#include "runtime/text/jinja/number_format.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

bool is_align(char32_t c) { return c == '<' || c == '>' || c == '^' || c == '='; }

/// A number of digits from the front, or none.
std::optional<std::int64_t> take_number(std::string_view& text) {
  std::optional<std::int64_t> value;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    value = std::min<std::int64_t>(value.value_or(0) * 10 + (text[0] - '0'), format_width_max + 1);
    text.remove_prefix(1);
  }
  return value;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

/// Separators between groups of digits, from the right; zeros in front are added up to `width`.
std::string grouped(const std::string& digits, char separator, std::size_t group, std::size_t width) {
  std::size_t count = digits.size();
  while (count + (count - 1) / group < width) ++count;
  const std::string padded = std::string(count - digits.size(), '0') + digits;
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0 && (count - i) % group == 0) out += separator;
    out += padded[i];
  }
  return out;
}

struct NumberParts {
  std::string sign, prefix, digits, tail;  // tail: from the point or the exponent on, or %
  bool groups = true;
};

std::string assemble(NumberParts parts, const FormatSpec& spec) {
  const char align = spec.align != '\0' ? spec.align : spec.zero ? '=' : '>';
  const char32_t fill = spec.zero && !spec.has_fill ? '0' : spec.fill;
  const auto width = static_cast<std::size_t>(spec.width);
  if (spec.grouping != '\0' && parts.groups) {
    const std::size_t around = parts.sign.size() + parts.prefix.size() + parts.tail.size();
    const std::size_t zeros_to = align == '=' && fill == '0' && width > around ? width - around : 0;
    const bool is_hex = spec.type != '\0' && std::string_view("bxXo").find(spec.type) != std::string_view::npos;
    parts.digits = grouped(parts.digits, spec.grouping, is_hex ? 4 : 3, zeros_to);
  }
  const std::string head = parts.sign + parts.prefix, rest = parts.digits + parts.tail;
  if (align != '=') return aligned(head + rest, spec.width, align, fill);
  const std::size_t used = head.size();
  return head + aligned(rest, spec.width - static_cast<std::int64_t>(used), '>', fill);
}

std::string sign_text(bool negative, char sign) {
  if (negative) return "-";
  return sign == '-' ? "" : std::string(1, sign);
}

std::string format_integer(Integer value, const FormatSpec& spec) {
  NumberParts parts;
  parts.sign = sign_text(value < 0, spec.sign);
  const int base = spec.type == 'b' ? 2 : spec.type == 'o' ? 8 : spec.type == 'x' || spec.type == 'X' ? 16 : 10;
  parts.digits = digits_of(value, base);
  if (spec.alternate && base != 10) parts.prefix = std::string("0") + spec.type;
  if (spec.type == 'X') parts.digits = to_upper(parts.digits);
  return assemble(std::move(parts), spec);
}

/// Without a type: as repr, but with the precision of 'g', and always a point.
std::string plain_real(double value, std::optional<int> precision) {
  if (!precision) return repr_of(value);
  std::string text = format_real(value, 'g', std::max(*precision, 1), false);
  if (text.find_first_of(".en") == std::string::npos) {
    const bool too_long = text.size() >= static_cast<std::size_t>(std::max(*precision, 1)) + 1;
    text = too_long ? format_real(value, 'e', std::max(*precision, 1) - 1, false) : text + ".0";
  }
  return text;
}

std::string format_real_field(double value, const FormatSpec& spec) {
  NumberParts parts;
  parts.sign = sign_text(std::signbit(value) && !std::isnan(value), spec.sign);
  std::string text;
  if (spec.type == '%') {
    text = format_real(std::abs(value) * 100, 'f', spec.precision.value_or(6), spec.alternate) + "%";
  } else if (spec.type == '\0') {
    text = plain_real(std::abs(value), spec.precision);
  } else {
    const char type = spec.type == 'n' ? 'g' : spec.type;
    text = format_real(std::abs(value), type, spec.precision.value_or(6), spec.alternate);
  }
  parts.groups = std::isfinite(value);
  const std::size_t whole = text.find_first_not_of("0123456789");
  parts.digits = parts.groups ? text.substr(0, whole) : text;
  if (parts.groups && whole != std::string::npos) parts.tail = text.substr(whole);
  return assemble(std::move(parts), spec);
}

}  // namespace

std::string format_real(double value, char type, int precision, bool alternate) {
  precision = std::clamp(precision, 0, format_precision_max);
  char format[8];
  std::snprintf(format, sizeof format, alternate ? "%%#.*%c" : "%%.*%c", type);
  std::string text(400 + static_cast<std::size_t>(precision), '\0');
  // The format has one of three letters, see above.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const int length = std::snprintf(text.data(), text.size(), format, precision, value);
#pragma GCC diagnostic pop
  text.resize(static_cast<std::size_t>(std::max(length, 0)));
  if (text == "-nan") return "nan";
  return text == "-NAN" ? "NAN" : text;
}

std::string digits_of(Integer value, int base) {
  if (base == 10) {
    std::string text = decimal(value);
    return text.starts_with('-') ? text.substr(1) : text;
  }
  std::string text;
  do {
    const int digit = static_cast<int>(value % base);
    text += "0123456789abcdef"[digit < 0 ? -digit : digit];
    value /= base;
  } while (value != 0);
  std::reverse(text.begin(), text.end());
  return text;
}

std::string aligned(std::string_view text, std::int64_t width, char align, char32_t fill) {
  const auto length = static_cast<std::int64_t>(count_characters(text));
  std::string out;
  const std::int64_t missing = std::max<std::int64_t>(width - length, 0);
  const std::int64_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  for (std::int64_t i = 0; i < before; ++i) append_character(out, fill);
  out += text;
  for (std::int64_t i = before; i < missing; ++i) append_character(out, fill);
  return out;
}

Result<FormatSpec> parse_format_spec(Run& run, std::string_view text) {
  FormatSpec spec;
  const std::string_view whole = text;
  if (!text.empty()) {
    std::size_t at = 0;
    const char32_t first = next_character(text, at);
    if (at < text.size() && is_align(static_cast<unsigned char>(text[at]))) {
      spec.fill = first;
      spec.has_fill = true;
      spec.align = text[at];
      text.remove_prefix(at + 1);
    } else if (is_align(first)) {
      spec.align = text[0];
      text.remove_prefix(1);
    }
  }
  if (text.starts_with('+') || text.starts_with('-') || text.starts_with(' ')) {
    spec.sign = text[0];
    text.remove_prefix(1);
  }
  spec.alternate = take(text, '#');
  spec.zero = take(text, '0');
  spec.width = take_number(text).value_or(0);
  if (text.starts_with(',') || text.starts_with('_')) {
    spec.grouping = text[0];
    text.remove_prefix(1);
  }
  if (take(text, '.')) {
    const auto precision = take_number(text);
    if (!precision)
      return run.error("the format '" + std::string(whole.substr(0, 50)) + "' lacks digits behind its point");
    spec.precision = static_cast<int>(*precision);
  }
  if (text.size() == 1) {
    spec.type = text[0];
  } else if (!text.empty()) {
    return run.error("the format '" + std::string(whole.substr(0, 50)) + "' is not valid");
  }
  if (spec.width > format_width_max || spec.precision.value_or(0) > format_precision_max) {
    return run.error("the format '" + std::string(whole.substr(0, 50)) + "' asks for too many characters",
                     ErrorCode::exhausted);
  }
  return spec;
}

Result<std::string> format_value(Run& run, const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return to_text(run, value);
  TESSERA_TRY(FormatSpec spec, parse_format_spec(run, spec_text));
  TESSERA_CHECK(run.reserve(4 * static_cast<std::size_t>(spec.width)));
  const auto refuse = [&] {
    return run.error("the format '" + std::string(spec_text.substr(0, 50)) + "' does not fit a value of type " +
                     std::string(type_name(value)));
  };
  if (value.is_string()) {
    if ((spec.type != '\0' && spec.type != 's') || spec.align == '=' || spec.sign != '-' || spec.grouping != '\0')
      return refuse();
    std::string_view text = value.text();
    if (spec.precision) text = text.substr(0, byte_of_character(text, static_cast<std::size_t>(*spec.precision)));
    const char32_t fill = spec.zero && !spec.has_fill ? '0' : spec.fill;
    return aligned(text, spec.width, spec.align == '\0' ? '<' : spec.align, fill);
  }
  if (!value.is_number()) return refuse();
  const bool integer_type = spec.type != '\0' && std::string_view("bdoxXnc").find(spec.type) != std::string_view::npos;
  const bool real_type = spec.type != '\0' && std::string_view("eEfFgGn%").find(spec.type) != std::string_view::npos;
  if (spec.type != '\0' && !integer_type && !real_type) return refuse();
  if (value.is_integral() && !real_type) {
    if (spec.precision || spec.type == 'c') return refuse();
    return format_integer(value.integer(), spec);
  }
  if (value.is(Kind::real) && integer_type && spec.type != 'n') return refuse();
  return format_real_field(value.as_real(), spec);
}

}  // namespace tessera::jinja
