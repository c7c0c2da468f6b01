#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "runtime/text/jinja/number_format.hpp"
#include "runtime/text/jinja/operations.hpp"
#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

/// One %-conversion: %(name)-08.3f
struct Conversion {
  bool left = false, plus = false, space = false, alternate = false, zero = false;
  std::int64_t width = 0;
  std::optional<int> precision;
  char type = '\0';
};

/// Walks over a format, and takes its arguments in turn.
class PrintfFormatter {
 public:
  PrintfFormatter(Run& run, std::string_view format, const Value& arguments)
      : run_(run), format_(format), arguments_(arguments) {}

  Result<std::string> format() {
    while (!format_.empty()) {
      const std::size_t percent = std::min(format_.find('%'), format_.size());
      TESSERA_CHECK(run_.reserve(percent, out_.size()));
      out_ += format_.substr(0, percent);
      format_.remove_prefix(percent);
      if (format_.empty()) break;
      format_.remove_prefix(1);
      TESSERA_CHECK(conversion());
    }
    const bool is_mapping = arguments_.is(Kind::dict) || arguments_.is(Kind::list) || arguments_.is(Kind::range);
    if (!is_mapping && used_ < argument_count()) return run_.error("not all arguments of the format are used");
    return std::move(out_);
  }

 private:
  std::size_t argument_count() const { return arguments_.is(Kind::tuple) ? arguments_.items().size() : 1; }

  Result<Value> next_argument() {
    if (used_ >= argument_count()) return run_.error("there are too few arguments for the format");
    return arguments_.is(Kind::tuple) ? arguments_.items()[used_++] : (++used_, arguments_);
  }

  Result<void> conversion() {
    std::optional<Value> named;
    if (format_.starts_with('(')) {
      const std::size_t end = format_.find(')');
      if (end == std::string_view::npos) return run_.error("a name in the format is not closed");
      if (!arguments_.is(Kind::dict)) return run_.error("a format with names needs a dictionary");
      const std::string name(format_.substr(1, end - 1));
      const Value* const found = arguments_.dict().find(std::string_view(name));
      if (found == nullptr) return run_.error("the format's '" + name.substr(0, 100) + "' is not given");
      named = *found;
      format_.remove_prefix(end + 1);
    }
    Conversion c;
    TESSERA_CHECK(flags(c));
    if (format_.empty()) return run_.error("the format ends within a conversion");
    c.type = format_.front();
    format_.remove_prefix(1);
    if (c.type == '%') {
      out_ += '%';
      return {};
    }
    Value value;
    if (named) {
      value = *named;
    } else {
      TESSERA_TRY(value, next_argument());
    }
    TESSERA_TRY(const std::string text, convert(c, value));
    const char align = c.left ? '<' : '>';
    TESSERA_CHECK(run_.reserve(text.size() + static_cast<std::size_t>(c.width), out_.size()));
    out_ += aligned(text, c.width, align, ' ');
    return {};
  }

  Result<void> flags(Conversion& c) {
    for (; !format_.empty(); format_.remove_prefix(1)) {
      const char flag = format_.front();
      if (flag == '-')
        c.left = true;
      else if (flag == '+')
        c.plus = true;
      else if (flag == ' ')
        c.space = true;
      else if (flag == '#')
        c.alternate = true;
      else if (flag == '0')
        c.zero = true;
      else
        break;
    }
    TESSERA_TRY(const auto width, number());
    c.width = width.value_or(0);
    if (c.width < 0) {
      c.left = true;
      c.width = -c.width;
    }
    if (format_.starts_with('.')) {
      format_.remove_prefix(1);
      TESSERA_TRY(const auto precision, number());
      c.precision = static_cast<int>(std::max<std::int64_t>(precision.value_or(0), 0));
    }
    while (!format_.empty() && std::string_view("hlL").find(format_.front()) != std::string_view::npos)
      format_.remove_prefix(1);
    if (c.width > format_width_max || c.precision.value_or(0) > format_precision_max) {
      return run_.error("the format asks for too many characters", ErrorCode::exhausted);
    }
    return {};
  }

  /// Digits, or * for an argument.
  Result<std::optional<std::int64_t>> number() {
    if (format_.starts_with('*')) {
      format_.remove_prefix(1);
      TESSERA_TRY(const Value value, next_argument());
      TESSERA_TRY(const std::int64_t number, integer_argument(run_, value, "a width in a format"));
      return std::optional(std::clamp<std::int64_t>(number, -format_width_max - 1, format_width_max + 1));
    }
    std::optional<std::int64_t> value;
    while (!format_.empty() && format_.front() >= '0' && format_.front() <= '9') {
      value = std::min<std::int64_t>(value.value_or(0) * 10 + (format_.front() - '0'), format_width_max + 1);
      format_.remove_prefix(1);
    }
    return value;
  }

  Result<std::string> convert(const Conversion& c, const Value& value) {
    if (value.is_undefined() && c.type != 's' && c.type != 'r' && c.type != 'a') return run_.error(value.reason());
    switch (c.type) {
      case 's':
      case 'r':
      case 'a': {
        TESSERA_TRY(std::string text, c.type == 's' ? to_text(run_, value) : to_repr(run_, value));
        if (c.type == 'a' && value.is_string()) text = repr_of(value.text(), true);
        if (c.precision) text.resize(byte_of_character(text, static_cast<std::size_t>(*c.precision)));
        return text;
      }
      case 'd':
      case 'i':
      case 'u':
        if (!value.is(Kind::real)) return integer(c, value, 10);
        if (!std::isfinite(value.real()) || std::abs(value.real()) > 1e38)
          return run_.error("a number is too large for %d");
        return integer(c, Value::of(static_cast<Integer>(value.real())), 10);
      case 'x':
      case 'X':
        return integer(c, value, 16);
      case 'o':
        return integer(c, value, 8);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return real(c, value);
      case 'c':
        return character(value);
      default:
        return run_.error(std::string("%") + c.type + " is no conversion of a format");
    }
  }

  static std::string with_zeros(const Conversion& c, std::string head, std::string digits) {
    const auto width = static_cast<std::size_t>(c.width);
    const std::size_t used = head.size() + digits.size();
    if (c.zero && !c.left && used < width) head += std::string(width - used, '0');
    return head + digits;
  }
  static std::string sign_of(const Conversion& c, bool negative) {
    return negative ? "-" : c.plus ? "+" : c.space ? " " : "";
  }

  Result<std::string> integer(const Conversion& c, const Value& value, int base) {
    if (!value.is_integral()) {
      return run_.error(std::string("%") + c.type + " needs an integer, not a value of type " +
                        std::string(type_name(value)));
    }
    std::string digits = digits_of(value.integer(), base);
    const auto least = static_cast<std::size_t>(c.precision.value_or(0));
    if (digits.size() < least) digits.insert(0, least - digits.size(), '0');
    if (c.type == 'X') digits = to_upper(digits);
    std::string head = sign_of(c, value.integer() < 0);
    if (c.alternate && base != 10) head += std::string("0") + c.type;
    return with_zeros(c, std::move(head), std::move(digits));
  }

  Result<std::string> real(const Conversion& c, const Value& value) {
    if (!value.is_number()) {
      return run_.error(std::string("%") + c.type + " needs a number, not a value of type " +
                        std::string(type_name(value)));
    }
    const double number = value.as_real();
    const bool negative = std::signbit(number) && !std::isnan(number);
    return with_zeros(c, sign_of(c, negative),
                      format_real(std::abs(number), c.type, c.precision.value_or(6), c.alternate));
  }

  Result<std::string> character(const Value& value) {
    if (value.is_string() && count_characters(value.text()) == 1) return std::string(value.text());
    const bool is_character = value.is_integral() && value.integer() >= 0 && value.integer() <= 0x10FFFF &&
                              (value.integer() < 0xD800 || value.integer() >= 0xE000);
    if (!is_character) return run_.error("%c needs one character");
    std::string text;
    append_character(text, static_cast<char32_t>(value.integer()));
    return text;
  }

  Run& run_;
  std::string_view format_;
  const Value& arguments_;
  std::size_t used_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> format_printf(Run& run, std::string_view format, const Value& arguments) {
  return PrintfFormatter(run, format, arguments).format();
}

}  // namespace tessera::jinja
