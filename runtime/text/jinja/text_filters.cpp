#include <algorithm>
#include <utility>

#include "runtime/text/jinja/access.hpp"
#include "runtime/text/jinja/filter_tables.hpp"
#include "runtime/text/jinja/number_format.hpp"
#include "runtime/text/jinja/operations.hpp"
#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/text_search.hpp"
#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

/// The method of the same name on str(value).
template <const char* name>
Result<Value> through_method(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const Value text, to_text_value(run, value));
  return find_method(Kind::string, name)(run, text, arguments);
}
constexpr char upper_name[] = "upper", lower_name[] = "lower", capitalize_name[] = "capitalize", trim_name[] = "strip";

Result<Value> trim(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "trim", arguments, {"chars"}));
  Arguments given;
  if (bound[0]) given.positional.push_back(*bound[0]);
  return through_method<trim_name>(run, value, given);
}

/// What begins a word for `title`: Jinja splits at runs of these.
bool separates_words(char32_t c) {
  return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || has_flag(c, is_space);
}

Result<Value> title(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "title", arguments, {}));
  TESSERA_TRY(const std::string text, to_text(run, value));
  TESSERA_CHECK(run.reserve(3 * text.size()));
  TESSERA_CHECK(run.step(text.size() / 4));
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    const bool separator = separates_words(next_character(text, end));
    const std::size_t first_end = end;
    while (end < text.size()) {
      std::size_t next = end;
      if (separates_words(next_character(text, next)) != separator) break;
      end = next;
    }
    out += to_upper(std::string_view(text).substr(begin, first_end - begin));
    out += to_lower(std::string_view(text).substr(first_end, end - first_end));
    begin = end;
  }
  return run.text(std::move(out), value.is_markup());
}

Result<Value> string(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "string", arguments, {}));
  return to_text_value(run, value);
}

Result<Value> safe(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "safe", arguments, {}));
  TESSERA_TRY(std::string text, to_text(run, value));
  return run.text(std::move(text), true);
}

Result<Value> escape_filter(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "escape", arguments, {}));
  return escape(run, value);
}

Result<Value> force_escape(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "forceescape", arguments, {}));
  TESSERA_TRY(std::string text, to_text(run, value));
  return escape(run, run.text(std::move(text)));
}

Result<Value> replace(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "replace", arguments, {"old", "new", "count"}, 2));
  TESSERA_TRY(const std::string text, to_text(run, value));
  TESSERA_TRY(const std::string old, to_text(run, *bound[0]));
  TESSERA_TRY(const std::string by, to_text(run, *bound[1]));
  std::int64_t count = -1;
  if (bound[2] && !bound[2]->is_none()) {
    TESSERA_TRY(count, integer_argument(run, *bound[2], "the count of replace"));
  }
  TESSERA_CHECK(run.step(text.size() / 8));
  TESSERA_CHECK(run.reserve(replaced_bytes(text, old, by, count)));
  return run.text(replace_text(text, old, by, count));
}

Result<Value> join(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "join", arguments, {"d", "attribute"}));
  std::string separator;
  if (bound[0]) {
    TESSERA_TRY(separator, to_text(run, *bound[0]));
  }
  TESSERA_TRY(const AttributePath path, AttributePath::parse(run, bound[1]));
  TESSERA_TRY(const std::vector<Value> parts, elements_of(run, value));
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    TESSERA_TRY(const Value part, path.get(run, parts[i]));
    TESSERA_TRY(const std::string text, to_text(run, part));
    TESSERA_CHECK(run.reserve(text.size() + separator.size() + 32, out.size()));
    if (i > 0) out += separator;
    out += text;
  }
  return run.text(std::move(out));
}

Result<Value> indent(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "indent", arguments, {"width", "first", "blank"}));
  TESSERA_TRY(const std::string_view text, text_argument(run, value, "what indent changes"));
  std::string indentation(4, ' ');
  if (bound[0] && bound[0]->is_string()) {
    indentation = bound[0]->text();
  } else if (bound[0]) {
    TESSERA_TRY(const std::int64_t width, integer_argument(run, *bound[0], "the width of indent"));
    TESSERA_CHECK(run.reserve(static_cast<std::size_t>(std::max<std::int64_t>(width, 0))));
    indentation.assign(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  }
  TESSERA_CHECK(run.step(text.size() / 8));
  // With a line end behind it, so that one at the end opens an empty last line.
  const std::string ended = std::string(text) + "\n";
  const std::vector<std::string_view> lines = split_lines(ended);
  TESSERA_CHECK(run.reserve_each(lines.size(), indentation.size() + sizeof(std::string_view)));
  TESSERA_CHECK(run.reserve(text.size()));
  std::string out = flag(bound[1]) ? indentation : std::string();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i > 0 && (flag(bound[2]) || !lines[i].empty())) out += indentation;
    out += lines[i];
  }
  return run.text(std::move(out), value.is_markup());
}

Result<Value> center(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "center", arguments, {"width"}));
  TESSERA_TRY(const Value text, to_text_value(run, value));
  return find_method(Kind::string, "center")(run, text,
                                             {.positional = {bound[0].value_or(Value::of(80))}, .keywords = {}});
}

Result<Value> truncate(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "truncate", arguments, {"length", "killwords", "end", "leeway"}));
  std::int64_t length = 255, leeway = 5;
  if (bound[0]) {
    TESSERA_TRY(length, integer_argument(run, *bound[0], "the length of truncate"));
  }
  if (bound[3] && !bound[3]->is_none()) {
    TESSERA_TRY(leeway, integer_argument(run, *bound[3], "the leeway of truncate"));
  }
  std::string_view end = "...";
  if (bound[2]) {
    TESSERA_TRY(end, text_argument(run, *bound[2], "the end of truncate"));
  }
  const auto end_size = static_cast<std::int64_t>(count_characters(end));
  if (length < end_size || leeway < 0) return run.error("truncate needs a length that its end fits into");
  TESSERA_TRY(const std::size_t size, length_of(run, value));
  if (static_cast<Integer>(size) <= Integer{length} + leeway) return value;
  TESSERA_TRY(const std::string_view text, text_argument(run, value, "what truncate shortens"));
  std::string_view kept = text.substr(0, byte_of_character(text, static_cast<std::size_t>(length - end_size)));
  if (!flag(bound[1])) {
    if (const std::size_t space = kept.rfind(' '); space != std::string_view::npos) kept = kept.substr(0, space);
  }
  return run.text(std::string(kept) + std::string(end), value.is_markup());
}

Result<Value> word_count(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "wordcount", arguments, {}));
  TESSERA_TRY(const std::string text, to_text(run, value));
  TESSERA_CHECK(run.step(text.size() / 4));
  std::size_t words = 0;
  bool in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    const bool is_word = c == '_' || has_flag(c, is_alpha | is_decimal | is_digit | is_numeric);
    if (is_word && !in_word) ++words;
    in_word = is_word;
  }
  return Value::of(words);
}

Result<Value> format(Run& run, const Value& value, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keywords.empty()) {
    return run.error("format takes positional or named arguments, not both");
  }
  TESSERA_TRY(const Value text, to_text_value(run, value));
  Value given;
  if (!arguments.keywords.empty()) {
    DictBuilder builder;
    for (const auto& [name, argument] : arguments.keywords) builder.set(run.text(name), argument);
    TESSERA_TRY(given, run.dict(std::move(builder)));
  } else {
    TESSERA_TRY(given, run.tuple(arguments.positional));
  }
  return binary(run, Operation::modulo, text, given);
}

Result<Value> to_json_filter(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = flag(bound[0]);
  style.sort_keys = flag(bound[3]);
  if (bound[1] && !bound[1]->is_none()) {
    style.item_separator = ",";
    if (bound[1]->is_string()) {
      style.indent = bound[1]->text();
    } else {
      TESSERA_TRY(const std::int64_t width, integer_argument(run, *bound[1], "the indent of tojson"));
      TESSERA_CHECK(run.reserve(static_cast<std::size_t>(std::max<std::int64_t>(width, 0))));
      style.indent.emplace(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    }
  }
  if (bound[2] && !bound[2]->is_none()) {
    TESSERA_TRY(const std::vector<Value> separators, elements_of(run, *bound[2]));
    if (separators.size() != 2) return run.error("tojson needs two separators");
    TESSERA_TRY(style.item_separator, text_argument(run, separators[0], "a separator of tojson"));
    TESSERA_TRY(style.key_separator, text_argument(run, separators[1], "a separator of tojson"));
    TESSERA_CHECK(run.reserve_each(extent_of(value).weight, style.item_separator.size() + style.key_separator.size()));
  }
  TESSERA_TRY(std::string text, to_json(run, value, style));
  return run.text(std::move(text));
}

/// Without comments and tags, and with single spaces: what markupsafe's striptags leaves, without entities resolved
/// beyond the five of escape().
Result<Value> strip_tags(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "striptags", arguments, {}));
  TESSERA_TRY(std::string text, to_text(run, value));
  TESSERA_CHECK(run.step(text.size() / 4));
  const auto remove = [&](std::string_view open, std::string_view close) {
    std::string kept;
    std::size_t at = 0;
    while (true) {
      const std::size_t begin = find_text(text, open, at);
      const std::size_t end = begin == std::string::npos ? begin : find_text(text, close, begin);
      if (end == std::string::npos) break;
      kept.append(text, at, begin - at);
      at = end + close.size();
    }
    text = kept.append(text, at);
  };
  remove("<!--", "-->");
  remove("<", ">");
  std::string out;
  for (const std::string_view word : split_text(text, {}, -1)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  static constexpr std::pair<std::string_view, std::string_view> entities[] = {
      {"&lt;", "<"}, {"&gt;", ">"}, {"&#39;", "'"}, {"&#34;", "\""}, {"&quot;", "\""}, {"&amp;", "&"}};
  for (const auto& [entity, meaning] : entities) out = replace_text(out, entity, meaning, -1);
  return run.text(std::move(out));
}

/// Text, or pairs of names and values, as a URL has them.
Result<Value> url_encode(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "urlencode", arguments, {}));
  const auto append = [&](std::string& out, const Value& part, bool for_query) -> Result<void> {
    TESSERA_TRY(const std::string text, to_text(run, part));
    TESSERA_CHECK(run.reserve_each(3, text.size()));
    static constexpr char hex[] = "0123456789ABCDEF";
    for (const char c : text) {
      const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         std::string_view("_.-~").find(c) != std::string_view::npos || (c == '/' && !for_query);
      if (plain) {
        out += c;
      } else if (for_query && c == ' ') {
        out += '+';
      } else {
        out += '%';
        out += hex[static_cast<unsigned char>(c) >> 4];
        out += hex[static_cast<unsigned char>(c) & 0xF];
      }
    }
    return {};
  };
  std::string out;
  if (value.is_string() || !is_iterable(value)) {
    TESSERA_CHECK(append(out, value, false));
    return run.text(std::move(out));
  }
  Value pairs = value;
  if (value.is(Kind::dict)) {
    TESSERA_TRY(pairs, find_method(Kind::dict, "items")(run, value, {}));
  }
  TESSERA_TRY(const std::vector<Value> entries, elements_of(run, pairs));
  for (const Value& entry : entries) {
    TESSERA_TRY(const std::vector<Value> parts, elements_of(run, entry));
    if (parts.size() != 2) return run.error("urlencode needs pairs of a name and a value");
    if (!out.empty()) out += '&';
    TESSERA_CHECK(append(out, parts[0], true));
    out += '=';
    TESSERA_CHECK(append(out, parts[1], true));
  }
  return run.text(std::move(out));
}

constexpr NamedFilter filters[] = {
    {"capitalize", through_method<capitalize_name>},
    {"center", center},
    {"e", escape_filter},
    {"escape", escape_filter},
    {"forceescape", force_escape},
    {"format", format},
    {"indent", indent},
    {"join", join},
    {"lower", through_method<lower_name>},
    {"replace", replace},
    {"safe", safe},
    {"string", string},
    {"striptags", strip_tags},
    {"title", title},
    {"tojson", to_json_filter},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", through_method<upper_name>},
    {"urlencode", url_encode},
    {"wordcount", word_count},
};

}  // namespace

std::span<const NamedFilter> text_filters() { return filters; }

}  // namespace tessera::jinja
