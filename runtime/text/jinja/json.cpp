#include <algorithm>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/unicode.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::jinja {

namespace {

void append_code_unit(std::string& out, unsigned unit) {
  static constexpr char hex[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += hex[(unit >> shift) & 0xF];
}

void append_character_as_ascii(std::string& out, char32_t c) {
  if (c < 0x10000) return append_code_unit(out, c);
  append_code_unit(out, 0xD800 + ((c - 0x10000) >> 10));
  append_code_unit(out, 0xDC00 + ((c - 0x10000) & 0x3FF));
}

void append_quoted(std::string& out, std::string_view text, bool ensure_ascii) {
  static constexpr std::string_view special = "\"\\\n\r\t\f\b", names = "\"\\nrtfb";
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (const std::size_t known = special.find(text[at]); known != std::string_view::npos) {
      out += '\\';
      out += names[known];
      ++at;
    } else if (byte < 0x20 || (ensure_ascii && byte == 0x7F)) {
      append_code_unit(out, byte);
      ++at;
    } else if (byte < 0x80 || !ensure_ascii) {
      out += text[at++];
    } else {
      append_character_as_ascii(out, next_character(text, at));
    }
  }
  out += '"';
}

std::string json_of(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return repr_of(value);
}

/// Follows Python's json.dumps.
class JsonWriter {
 public:
  JsonWriter(Run& run, const JsonStyle& style) : run_(run), style_(style) {}

  Result<void> append(const Value& value) {
    TESSERA_CHECK(run_.step());
    switch (value.kind()) {
      case Kind::none:
        out_ += "null";
        return {};
      case Kind::boolean:
        out_ += value.boolean() ? "true" : "false";
        return {};
      case Kind::integer:
        out_ += decimal(value.integer());
        return {};
      case Kind::real:
        out_ += json_of(value.real());
        return {};
      case Kind::string:
        return string(value.text());
      case Kind::list:
      case Kind::tuple:
        return items(value.items());
      case Kind::dict:
        return entries(value.dict());
      case Kind::undefined:
        return run_.error(value.reason() + ", so it cannot become JSON");
      default:
        return run_.error("a value of type " + std::string(type_name(value)) + " cannot become JSON");
    }
  }
  std::string take() { return std::move(out_); }

 private:
  Result<void> string(std::string_view text) {
    TESSERA_CHECK(run_.reserve(6 * text.size(), out_.size()));
    append_quoted(out_, text, style_.ensure_ascii);
    return {};
  }

  Result<void> new_line() {
    if (!style_.indent) return {};
    TESSERA_CHECK(run_.reserve_each(level_ + 1, style_.indent->size()));
    TESSERA_CHECK(run_.reserve(level_ * style_.indent->size(), out_.size()));
    out_ += '\n';
    for (std::size_t i = 0; i < level_; ++i) out_ += *style_.indent;
    return {};
  }

  Result<void> items(const std::vector<Value>& values) {
    if (values.empty()) {
      out_ += "[]";
      return {};
    }
    out_ += '[';
    ++level_;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      TESSERA_CHECK(new_line());
      TESSERA_CHECK(append(values[i]));
    }
    --level_;
    TESSERA_CHECK(new_line());
    out_ += ']';
    return {};
  }

  Result<std::string> key(const Value& value) const {
    switch (value.kind()) {
      case Kind::string:
        return std::string(value.text());
      case Kind::none:
        return std::string("null");
      case Kind::boolean:
        return std::string(value.boolean() ? "true" : "false");
      case Kind::integer:
        return decimal(value.integer());
      case Kind::real:
        return json_of(value.real());
      default:
        return run_.error("a key of type " + std::string(type_name(value)) + " cannot become JSON");
    }
  }

  Result<void> entries(const Dict& dict) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return {};
    }
    std::vector<const Dict::Entry*> order;
    for (const Dict::Entry& entry : dict.entries) order.push_back(&entry);
    if (style_.sort_keys) TESSERA_CHECK(sort(order));
    out_ += '{';
    ++level_;
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      TESSERA_CHECK(new_line());
      TESSERA_TRY(const std::string name, key(order[i]->first));
      TESSERA_CHECK(string(name));
      out_ += style_.key_separator;
      TESSERA_CHECK(append(order[i]->second));
    }
    --level_;
    TESSERA_CHECK(new_line());
    out_ += '}';
    return {};
  }

  Result<void> sort(std::vector<const Dict::Entry*>& order) {
    const bool all_strings = std::all_of(order.begin(), order.end(), [](auto* e) { return e->first.is_string(); });
    const bool all_numbers = std::all_of(order.begin(), order.end(), [](auto* e) { return e->first.is_number(); });
    if (!all_strings && !all_numbers) return run_.error("keys of different types cannot be sorted");
    std::stable_sort(order.begin(), order.end(), [&](auto* left, auto* right) {
      if (all_strings) return left->first.text() < right->first.text();
      return left->first.as_real() < right->first.as_real();
    });
    return run_.step(order.size());
  }

  Run& run_;
  const JsonStyle& style_;
  std::string out_;
  std::size_t level_ = 0;
};

using Json = nlohmann::ordered_json;

class JsonReader {
 public:
  explicit JsonReader(Run& run) : run_(run) {}

  Result<Value> read(const Json& json) {
    TESSERA_CHECK(run_.step());
    switch (json.type()) {
      case Json::value_t::boolean:
        return Value::of(json.get<bool>());
      case Json::value_t::number_integer:
        return Value::of(Integer{json.get<std::int64_t>()});
      case Json::value_t::number_unsigned:
        return Value::of(Integer{json.get<std::uint64_t>()});
      case Json::value_t::number_float:
        return Value::of(json.get<double>());
      case Json::value_t::string:
        return text(json.get_ref<const std::string&>());
      case Json::value_t::array:
      case Json::value_t::object:
        break;
      default:
        return Value::none();
    }
    if (++level_ > limits::template_value_depth_max) {
      return run_.error(
          "the conversation is nested deeper than " + std::to_string(limits::template_value_depth_max) + " levels",
          ErrorCode::exhausted);
    }
    auto value = json.is_array() ? array(json) : object(json);
    --level_;
    return value;
  }

 private:
  Result<Value> text(const std::string& bytes) {
    TESSERA_CHECK(run_.reserve(bytes.size()));
    return run_.text(to_valid_utf8(bytes));
  }
  Result<Value> array(const Json& json) {
    std::vector<Value> items;
    TESSERA_CHECK(run_.reserve_each(json.size(), sizeof(Value)));
    for (const Json& element : json) {
      TESSERA_TRY(Value item, read(element));
      items.push_back(std::move(item));
    }
    return run_.list(std::move(items));
  }
  Result<Value> object(const Json& json) {
    DictBuilder builder;
    TESSERA_CHECK(run_.reserve_each(json.size(), 2 * sizeof(Value)));
    for (const auto& [name, element] : json.items()) {
      TESSERA_TRY(Value key, text(name));
      TESSERA_TRY(Value value, read(element));
      builder.set(std::move(key), std::move(value));
    }
    return run_.dict(std::move(builder));
  }

  Run& run_;
  std::size_t level_ = 0;
};

}  // namespace

Result<std::string> to_json(Run& run, const Value& value, const JsonStyle& style) {
  JsonWriter writer(run, style);
  TESSERA_CHECK(writer.append(value));
  return writer.take();
}

Result<Value> from_json(Run& run, const nlohmann::ordered_json& json) { return JsonReader(run).read(json); }

}  // namespace tessera::jinja
