// str.format: '{} {0.name} {key[0]!r:>8}'.format(…), with attributes under the same rules as everywhere in a template.
#include <algorithm>
#include <optional>
#include <utility>

#include "runtime/text/jinja/access.hpp"
#include "runtime/text/jinja/methods.hpp"
#include "runtime/text/jinja/number_format.hpp"
#include "runtime/text/jinja/operations.hpp"
#include "runtime/text/jinja/printing.hpp"

namespace tessera::jinja {

namespace {

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

class BraceFormatter {
 public:
  BraceFormatter(Run& run, const Arguments& arguments) : run_(run), arguments_(arguments) {}

  /// `level`: fields within the specification of a field may not have fields themselves.
  Result<std::string> format(std::string_view text, int level) {
    std::string out;
    while (!text.empty()) {
      TESSERA_CHECK(run_.step());
      const std::size_t brace = std::min(text.find_first_of("{}"), text.size());
      TESSERA_CHECK(run_.reserve(brace, out.size()));
      out += text.substr(0, brace);
      text.remove_prefix(brace);
      if (text.empty()) break;
      if (text.size() > 1 && text[0] == text[1]) {
        out += text[0];
        text.remove_prefix(2);
        continue;
      }
      if (text[0] == '}') return run_.error("a single } in a format");
      const std::size_t end = field_end(text);
      if (end == std::string_view::npos) return run_.error("a { of a format is not closed");
      TESSERA_TRY(const std::string field_text, field(text.substr(1, end - 1), level));
      TESSERA_CHECK(run_.reserve(field_text.size(), out.size()));
      out += field_text;
      text.remove_prefix(end + 1);
    }
    return out;
  }

 private:
  /// Where the brace closes that the text begins with.
  static std::size_t field_end(std::string_view text) {
    std::size_t open = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '{') ++open;
      if (text[i] == '}' && --open == 0) return i;
    }
    return std::string_view::npos;
  }

  Result<std::string> field(std::string_view text, int level) {
    if (level > 1) return run_.error("the fields of a format are nested too deep");
    const std::size_t name_end = std::min(text.find_first_of("!:"), text.size());
    std::string_view rest = text.substr(name_end);
    TESSERA_TRY(Value value, resolve(text.substr(0, name_end)));
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':'))
        return run_.error("a conversion behind ! is not valid");
      TESSERA_TRY(std::string converted, convert(value, rest[1]));
      value = run_.text(std::move(converted));
      rest.remove_prefix(2);
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    TESSERA_TRY(const std::string spec, format(rest, level + 1));
    return format_value(run_, value, spec);
  }

  Result<std::string> convert(const Value& value, char conversion) {
    if (conversion == 's') return to_text(run_, value);
    if (conversion == 'a' && value.is_string()) return repr_of(value.text(), true);
    if (conversion == 'r' || conversion == 'a') return to_repr(run_, value);
    return run_.error(std::string("the conversion !") + conversion + " is not known");
  }

  Result<Value> argument(std::string_view name) {
    if (name.empty() || is_digits(name)) {
      (name.empty() ? automatic_ : manual_) = true;
      if (automatic_ && manual_) return run_.error("a format numbers its fields either all or none");
      std::size_t index = next_;
      if (name.empty()) {
        ++next_;
      } else if (name.size() > 6) {
        index = arguments_.positional.size();
      } else {
        index = std::stoul(std::string(name));
      }
      if (index < arguments_.positional.size()) return arguments_.positional[index];
      return run_.error("there are too few arguments for the format");
    }
    for (const auto& [known, value] : arguments_.keywords) {
      if (known == name) return value;
    }
    return run_.error("the format's '" + std::string(name.substr(0, 100)) + "' is not given");
  }

  Result<Value> resolve(std::string_view name) {
    const std::size_t first_end = std::min(name.find_first_of(".["), name.size());
    TESSERA_TRY(Value value, argument(name.substr(0, first_end)));
    name.remove_prefix(first_end);
    while (!name.empty()) {
      TESSERA_CHECK(run_.step());
      if (name[0] == '.') {
        const std::size_t end = std::min(name.find_first_of(".[", 1), name.size());
        TESSERA_TRY(value, get_attribute(run_, value, name.substr(1, end - 1)));
        name.remove_prefix(end);
        continue;
      }
      const std::size_t end = name.find(']');
      if (name[0] != '[' || end == std::string_view::npos) return run_.error("an index of a format is not closed");
      const std::string_view key = name.substr(1, end - 1);
      const bool is_index = is_digits(key) && key.size() < 10;
      TESSERA_TRY(value, get_item(run_, value,
                                  is_index ? Value::of(std::stoi(std::string(key))) : run_.text(std::string(key))));
      name.remove_prefix(end + 1);
    }
    return value;
  }

  Run& run_;
  const Arguments& arguments_;
  std::size_t next_ = 0;
  bool automatic_ = false, manual_ = false;  // numbers of fields
};

}  // namespace

Result<Value> format_method(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(std::string text, BraceFormatter(run, arguments).format(self.text(), 0));
  return run.text(std::move(text), self.is_markup());
}

}  // namespace tessera::jinja
