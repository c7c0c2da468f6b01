#include "runtime/text/jinja/printing.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

constexpr char hex_digits[] = "0123456789abcdef";

void append_hex(std::string& out, char32_t character, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += hex_digits[(character >> shift) & 0xF];
}

void append_escaped(std::string& out, char32_t c) {
  if (c < 0x100) {
    out += "\\x";
    append_hex(out, c, 2);
  } else if (c < 0x10000) {
    out += "\\u";
    append_hex(out, c, 4);
  } else {
    out += "\\U";
    append_hex(out, c, 8);
  }
}

class Repr {
 public:
  explicit Repr(Run& run) : run_(run) {}

  Result<void> append(const Value& value) {
    TESSERA_CHECK(run_.step());
    switch (value.kind()) {
      case Kind::undefined:
        out_ += "Undefined";
        return {};
      case Kind::none:
        out_ += "None";
        return {};
      case Kind::boolean:
        out_ += value.boolean() ? "True" : "False";
        return {};
      case Kind::integer:
        out_ += decimal(value.integer());
        return {};
      case Kind::real:
        out_ += repr_of(value.real());
        return {};
      case Kind::string:
        return string(value);
      case Kind::list:
        return items("[", value.items(), "]");
      case Kind::tuple:
        return items("(", value.items(), value.items().size() == 1 ? ",)" : ")");
      case Kind::view:
        return view(value.as<Sequence>());
      case Kind::dict:
        return entries(value.dict());
      case Kind::range:
        return range(value.as<Range>());
      case Kind::name_space:
        return name_space(value.as<Namespace>());
      case Kind::loop: {
        const auto& loop = value.as<Loop>();
        out_ += "<LoopContext " + std::to_string(loop.index + 1) + "/" + std::to_string(loop.items.size()) + ">";
        return {};
      }
      default:
        out_ += "<" + std::string(type_name(value)) + ">";
        return {};
    }
  }
  std::string take() { return std::move(out_); }

 private:
  Result<void> string(const Value& value) {
    TESSERA_CHECK(run_.reserve(4 * value.text().size(), out_.size()));
    if (value.is_markup()) {
      out_ += "Markup(" + repr_of(value.text()) + ")";
    } else {
      out_ += repr_of(value.text());
    }
    return {};
  }
  Result<void> items(std::string_view open, const std::vector<Value>& values, std::string_view close) {
    out_ += open;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_ += ", ";
      TESSERA_CHECK(append(values[i]));
    }
    out_ += close;
    return {};
  }
  Result<void> view(const Sequence& sequence) {
    static constexpr std::string_view names[] = {"", "dict_keys", "dict_values", "dict_items", ""};
    out_ += names[static_cast<std::size_t>(sequence.name)];
    return items("([", sequence.items, "])");
  }
  Result<void> entries(const Dict& dict) {
    out_ += '{';
    for (std::size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) out_ += ", ";
      TESSERA_CHECK(append(dict.entries[i].first));
      out_ += ": ";
      TESSERA_CHECK(append(dict.entries[i].second));
    }
    out_ += '}';
    return {};
  }
  Result<void> range(const Range& range) {
    out_ += "range(" + std::to_string(range.begin) + ", " + std::to_string(range.end);
    out_ += range.step == 1 ? ")" : ", " + std::to_string(range.step) + ")";
    return {};
  }
  /// May contain itself.
  Result<void> name_space(const Namespace& object) {
    if (++namespaces_ > limits::template_calls_max) {
      return run_.error("a namespace that contains itself cannot be printed", ErrorCode::exhausted);
    }
    out_ += "<Namespace {";
    for (std::size_t i = 0; i < object.attributes.size(); ++i) {
      if (i > 0) out_ += ", ";
      out_ += repr_of(object.attributes[i].first) + ": ";
      TESSERA_CHECK(append(object.attributes[i].second));
    }
    out_ += "}>";
    --namespaces_;
    return {};
  }

  Run& run_;
  std::string out_;
  std::size_t namespaces_ = 0;  // inside each other
};

}  // namespace

std::string decimal(Integer value) {
  char buffer[48];
  char* const end = buffer + sizeof buffer;
  char* begin = end;
  const bool negative = value < 0;
  do {
    const int digit = static_cast<int>(value % 10);
    *--begin = static_cast<char>('0' + (digit < 0 ? -digit : digit));
    value /= 10;
  } while (value != 0);
  if (negative) *--begin = '-';
  return {begin, end};
}

std::string repr_of(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(), exponent);
  std::string digits(text.substr(0, e));
  const bool negative = digits.starts_with('-');
  std::erase_if(digits, [](char c) { return c == '-' || c == '.'; });
  std::string out = negative ? "-" : "";
  const auto count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    const int size = std::abs(exponent);
    return out + (exponent < 0 ? "e-" : "e+") + (size < 10 ? "0" : "") + std::to_string(size);
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return out + digits + std::string(static_cast<std::size_t>(exponent + 1 - count), '0') + ".0";
  const auto whole = static_cast<std::size_t>(exponent + 1);
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string repr_of(std::string_view text, bool ascii) {
  const bool double_quoted = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quoted ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    if (c == '\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if ((ascii && c >= 0x80) || !has_flag(c, is_printable)) {
      append_escaped(out, c);
    } else {
      append_character(out, c);
    }
  }
  return out += quote;
}

Result<std::string> to_text(Run& run, const Value& value) {
  if (value.is_undefined()) return std::string();
  if (value.is_string()) {
    TESSERA_CHECK(run.reserve(value.text().size()));
    return std::string(value.text());
  }
  return to_repr(run, value);
}

Result<std::string> to_repr(Run& run, const Value& value) {
  Repr repr(run);
  TESSERA_CHECK(repr.append(value));
  return repr.take();
}

Result<Value> to_text_value(Run& run, const Value& value) {
  if (value.is_string()) return value;
  TESSERA_TRY(std::string text, to_text(run, value));
  return run.text(std::move(text));
}

}  // namespace tessera::jinja
