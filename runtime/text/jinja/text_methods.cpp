#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "runtime/text/jinja/methods.hpp"
#include "runtime/text/jinja/number_format.hpp"
#include "runtime/text/jinja/operations.hpp"
#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/text_search.hpp"
#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

constexpr std::size_t npos = std::string_view::npos;

/// The work of walking over a string once, character by character.
Result<void> walk(Run& run, const Value& self) { return run.step(1 + self.text().size() / 8); }

Value same_kind(Run& run, const Value& self, std::string text) { return run.text(std::move(text), self.is_markup()); }

/// A method without arguments that gives a string.
template <std::string (*function)(std::string_view)>
Result<Value> mapped(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "the method", arguments, {}));
  TESSERA_CHECK(run.reserve(3 * self.text().size()));
  TESSERA_CHECK(walk(run, self));
  return same_kind(run, self, function(self.text()));
}

enum Side : std::uint8_t { left = 1, right = 2, both = 3 };

template <Side side>
Result<Value> strip_method(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "strip()", arguments, {"chars"}));
  TESSERA_CHECK(walk(run, self));
  std::optional<std::u32string> characters;
  if (bound[0] && !bound[0]->is_none()) {
    TESSERA_TRY(const std::string_view text, text_argument(run, *bound[0], "the argument of strip()"));
    TESSERA_CHECK(run.reserve_each(text.size(), 4));
    characters = to_characters(text);
    TESSERA_CHECK(run.step(self.text().size() / 8 * (characters->size() / 8)));
  }
  const std::u32string* const set = characters ? &*characters : nullptr;
  std::string_view text = self.text();
  if (side & left) text = strip_left(text, set);
  if (side & right) text = strip_right(text, set);
  return same_kind(run, self, std::string(text));
}

Result<Value> list_of(Run& run, const Value& self, const std::vector<std::string_view>& parts) {
  TESSERA_CHECK(run.reserve_each(parts.size(), sizeof(Value) + sizeof(Text)));
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) items.push_back(same_kind(run, self, std::string(part)));
  return run.list(std::move(items));
}

template <bool from_right>
Result<Value> split(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "split()", arguments, {"sep", "maxsplit"}));
  TESSERA_CHECK(walk(run, self));
  std::string_view separator;
  if (bound[0] && !bound[0]->is_none()) {
    TESSERA_TRY(separator, text_argument(run, *bound[0], "the separator of split()"));
    if (separator.empty()) return run.error("split() needs a separator that is not empty");
  }
  std::int64_t count = -1;
  if (bound[1]) {
    TESSERA_TRY(count, integer_argument(run, *bound[1], "the count of split()"));
  }
  TESSERA_CHECK(run.reserve(2 * self.text().size()));
  return list_of(
      run, self,
      from_right ? split_text_from_right(self.text(), separator, count) : split_text(self.text(), separator, count));
}

Result<Value> split_lines_method(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "splitlines()", arguments, {"keepends"}));
  TESSERA_CHECK(walk(run, self));
  return list_of(run, self, split_lines(self.text(), bound[0] && truth(*bound[0])));
}

template <bool from_right>
Result<Value> partition(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "partition()", arguments, {"sep"}, 1));
  TESSERA_TRY(const std::string_view separator, text_argument(run, *bound[0], "the separator of partition()"));
  if (separator.empty()) return run.error("partition() needs a separator that is not empty");
  TESSERA_CHECK(walk(run, self));
  const std::string_view text = self.text();
  const std::size_t at = from_right ? find_last_text(text, separator) : find_text(text, separator);
  std::string_view parts[3] = {text, {}, {}};
  if (at != npos) {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  } else if (from_right) {
    std::swap(parts[0], parts[2]);
  }
  std::vector<Value> items;
  for (const std::string_view part : parts) items.push_back(same_kind(run, self, std::string(part)));
  return run.tuple(std::move(items));
}

/// Part of a string that `start` and `end`, in characters, choose; `first` counts the characters before it.
struct Window {
  std::string_view text;
  std::size_t first = 0, begin_bytes = 0;
  bool outside = false;  // it begins behind the end: nothing is found, not even nothing
};

Result<Window> window(Run& run, const Value& self, const std::optional<Value>& start, const std::optional<Value>& end) {
  TESSERA_CHECK(walk(run, self));
  Window result{.text = self.text()};
  if (!start && !end) return result;
  const auto size = static_cast<std::int64_t>(count_characters(self.text()));
  const auto place = [&](const std::optional<Value>& value, std::int64_t otherwise) -> Result<std::int64_t> {
    if (!value || value->is_none()) return otherwise;
    TESSERA_TRY(const std::int64_t index, integer_argument(run, *value, "a position in a string"));
    return index < 0 ? std::max<std::int64_t>(index + size, 0) : index;
  };
  TESSERA_TRY(const std::int64_t first, place(start, 0));
  TESSERA_TRY(const std::int64_t last, place(end, size));
  result.outside = first > size;
  const auto from = static_cast<std::size_t>(std::min(first, size)),
             to = static_cast<std::size_t>(std::min(last, size));
  result.first = from;
  result.begin_bytes = byte_of_character(result.text, from);
  if (to < from) {
    result.outside = true;
    result.text = {};
  } else {
    result.text.remove_prefix(result.begin_bytes);
    result.text = result.text.substr(0, byte_of_character(result.text, to - from));
  }
  return result;
}

enum class Find : std::uint8_t { find, rfind, index, rindex };

template <Find mode>
Result<Value> find_method_of(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "find()", arguments, {"sub", "start", "end"}, 1));
  TESSERA_TRY(const std::string_view needle, text_argument(run, *bound[0], "the argument of find()"));
  TESSERA_TRY(const Window inside, window(run, self, bound[1], bound[2]));
  constexpr bool from_right = mode == Find::rfind || mode == Find::rindex;
  const std::size_t at = inside.outside ? npos
                         : from_right   ? find_last_text(inside.text, needle)
                                        : find_text(inside.text, needle);
  if (at != npos) return Value::of(inside.first + count_characters(inside.text.substr(0, at)));
  if (mode == Find::index || mode == Find::rindex) return run.error("index() did not find the substring");
  return Value::of(-1);
}

Result<Value> count(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "count()", arguments, {"sub", "start", "end"}, 1));
  TESSERA_TRY(const std::string_view needle, text_argument(run, *bound[0], "the argument of count()"));
  TESSERA_TRY(const Window inside, window(run, self, bound[1], bound[2]));
  return Value::of(inside.outside ? std::size_t{0} : count_text(inside.text, needle));
}

template <bool at_end>
Result<Value> affix(Run& run, const Value& self, const Arguments& arguments) {
  const char* const name = at_end ? "endswith()" : "startswith()";
  TESSERA_TRY(const auto bound, bind(run, name, arguments, {"prefix", "start", "end"}, 1));
  TESSERA_TRY(const Window inside, window(run, self, bound[1], bound[2]));
  const auto matches = [&](const Value& part) -> Result<bool> {
    TESSERA_TRY(const std::string_view text, text_argument(run, part, std::string("the argument of ") + name));
    return !inside.outside && (at_end ? inside.text.ends_with(text) : inside.text.starts_with(text));
  };
  if (!bound[0]->is(Kind::tuple)) {
    TESSERA_TRY(const bool match, matches(*bound[0]));
    return Value::of(match);
  }
  for (const Value& part : bound[0]->items()) {
    TESSERA_TRY(const bool match, matches(part));
    if (match) return Value::of(true);
  }
  return Value::of(false);
}

template <bool at_end>
Result<Value> remove_affix(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "removeprefix()", arguments, {"prefix"}, 1));
  TESSERA_TRY(const std::string_view part, text_argument(run, *bound[0], "the argument of removeprefix()"));
  TESSERA_CHECK(walk(run, self));
  std::string_view text = self.text();
  if (at_end && text.ends_with(part)) text.remove_suffix(part.size());
  if (!at_end && text.starts_with(part)) text.remove_prefix(part.size());
  return same_kind(run, self, std::string(text));
}

Result<Value> replace(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "replace()", arguments, {"old", "new", "count"}, 2));
  TESSERA_TRY(const std::string_view old, text_argument(run, *bound[0], "the first argument of replace()"));
  TESSERA_TRY(const std::string_view by, text_argument(run, *bound[1], "the second argument of replace()"));
  std::int64_t times = -1;
  if (bound[2]) {
    TESSERA_TRY(times, integer_argument(run, *bound[2], "the count of replace()"));
  }
  TESSERA_CHECK(walk(run, self));
  TESSERA_CHECK(run.reserve(replaced_bytes(self.text(), old, by, times)));
  return same_kind(run, self, replace_text(self.text(), old, by, times));
}

Result<Value> join(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "join()", arguments, {"iterable"}, 1));
  TESSERA_TRY(const std::vector<Value> parts, elements_of(run, *bound[0]));
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    Value part = parts[i];
    if (self.is_markup()) {
      TESSERA_TRY(part, escape(run, part));
    }
    TESSERA_TRY(const std::string_view text, text_argument(run, part, "each part of join()"));
    TESSERA_CHECK(run.reserve(text.size() + self.text().size() + 32, out.size()));
    if (i > 0) out += self.text();
    out += text;
  }
  return same_kind(run, self, std::move(out));
}

/// ljust, rjust, center: a field of a width, filled.
template <char align>
Result<Value> justify(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "ljust()", arguments, {"width", "fillchar"}, 1));
  TESSERA_TRY(const std::int64_t width, integer_argument(run, *bound[0], "the width"));
  char32_t fill = ' ';
  if (bound[1]) {
    TESSERA_TRY(const std::string_view text, text_argument(run, *bound[1], "the fill character"));
    if (count_characters(text) != 1) return run.error("the fill character must be one character");
    std::size_t at = 0;
    fill = next_character(text, at);
  }
  TESSERA_CHECK(walk(run, self));
  const auto size = static_cast<std::int64_t>(count_characters(self.text()));
  if (width <= size) return self;
  TESSERA_CHECK(run.reserve_each(static_cast<std::size_t>(width), 4));
  if (align != '^') return same_kind(run, self, aligned(self.text(), width, align, fill));
  // Python's center() gives the odd space to the left where the width is odd.
  const std::int64_t missing = width - size, before = missing / 2 + (missing & width & 1);
  return same_kind(run, self, aligned(aligned(self.text(), size + before, '>', fill), width, '<', fill));
}

Result<Value> zero_fill(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "zfill()", arguments, {"width"}, 1));
  TESSERA_TRY(const std::int64_t width, integer_argument(run, *bound[0], "the width"));
  TESSERA_CHECK(walk(run, self));
  std::string_view text = self.text();
  const auto size = static_cast<std::int64_t>(count_characters(text));
  if (width <= size) return self;
  TESSERA_CHECK(run.reserve(static_cast<std::size_t>(width)));
  std::string out;
  if (text.starts_with('-') || text.starts_with('+')) {
    out += text[0];
    text.remove_prefix(1);
  }
  out.append(static_cast<std::size_t>(width - size), '0');
  return same_kind(run, self, out.append(text));
}

Result<Value> expand_tabs(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "expandtabs()", arguments, {"tabsize"}));
  std::int64_t size = 8;
  if (bound[0]) {
    TESSERA_TRY(size, integer_argument(run, *bound[0], "the size of tabs"));
  }
  size = std::max<std::int64_t>(size, 0);
  TESSERA_CHECK(walk(run, self));
  TESSERA_CHECK(run.reserve_each(count_text(self.text(), "\t") + 1, static_cast<std::size_t>(size)));
  std::string out;
  std::int64_t column = 0;
  for (std::size_t at = 0; at < self.text().size();) {
    const char32_t c = next_character(self.text(), at);
    if (c == '\t') {
      const std::int64_t spaces = size == 0 ? 0 : size - column % size;
      out.append(static_cast<std::size_t>(spaces), ' ');
      column += spaces;
    } else {
      append_character(out, c);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return same_kind(run, self, std::move(out));
}

/// Whether there are characters, all of them of a class.
template <std::uint16_t flags, bool empty_is_true = false>
Result<Value> all_are(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "the method", arguments, {}));
  TESSERA_CHECK(walk(run, self));
  const std::string_view text = self.text();
  for (std::size_t at = 0; at < text.size();) {
    if (!has_flag(next_character(text, at), flags)) return Value::of(false);
  }
  return Value::of(empty_is_true || !text.empty());
}

Result<Value> is_ascii(Run& run, const Value& self, const Arguments&) {
  TESSERA_CHECK(walk(run, self));
  return Value::of(std::all_of(self.text().begin(), self.text().end(), [](char c) { return (c & 0x80) == 0; }));
}

/// Whether it has letters with case, all of the wanted one.
template <std::uint16_t wanted, std::uint16_t refused>
Result<Value> case_is(Run& run, const Value& self, const Arguments&) {
  TESSERA_CHECK(walk(run, self));
  bool any = false;
  for (std::size_t at = 0; at < self.text().size();) {
    const std::uint16_t flags = character_flags(next_character(self.text(), at));
    if ((flags & refused) != 0) return Value::of(false);
    any = any || (flags & wanted) != 0;
  }
  return Value::of(any);
}

Result<Value> is_title_case(Run& run, const Value& self, const Arguments&) {
  TESSERA_CHECK(walk(run, self));
  bool in_word = false, any = false;
  for (std::size_t at = 0; at < self.text().size();) {
    const std::uint16_t flags = character_flags(next_character(self.text(), at));
    const bool begins = (flags & (is_upper | is_title)) != 0, goes_on = (flags & is_lower) != 0;
    if ((begins && in_word) || (goes_on && !in_word)) return Value::of(false);
    in_word = begins || goes_on;
    any = any || in_word;
  }
  return Value::of(any);
}

Result<Value> is_identifier(Run& run, const Value& self, const Arguments&) {
  TESSERA_CHECK(walk(run, self));
  bool first = true;
  for (std::size_t at = 0; at < self.text().size(); first = false) {
    const char32_t c = next_character(self.text(), at);
    if (c != '_' && !has_flag(c, first ? is_alpha : is_alpha | is_decimal)) return Value::of(false);
  }
  return Value::of(!first);
}

constexpr NamedMethod methods[] = {
    {"split", split<false>},
    {"strip", strip_method<both>},
    {"lstrip", strip_method<left>},
    {"rstrip", strip_method<right>},
    {"startswith", affix<false>},
    {"endswith", affix<true>},
    {"replace", replace},
    {"join", join},
    {"format", format_method},
    {"upper", mapped<to_upper>},
    {"lower", mapped<to_lower>},
    {"casefold", mapped<to_lower>},
    {"title", mapped<to_title>},
    {"capitalize", mapped<capitalize>},
    {"swapcase", mapped<swap_case>},
    {"find", find_method_of<Find::find>},
    {"rfind", find_method_of<Find::rfind>},
    {"index", find_method_of<Find::index>},
    {"rindex", find_method_of<Find::rindex>},
    {"count", count},
    {"rsplit", split<true>},
    {"splitlines", split_lines_method},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"ljust", justify<'<'>},
    {"rjust", justify<'>'>},
    {"center", justify<'^'>},
    {"zfill", zero_fill},
    {"expandtabs", expand_tabs},
    {"isalpha", all_are<is_alpha>},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isnumeric", all_are<is_numeric>},
    {"isalnum", all_are<is_alpha | is_decimal | is_digit | is_numeric>},
    {"isspace", all_are<is_space>},
    {"isprintable", all_are<is_printable, true>},
    {"isascii", is_ascii},
    {"islower", case_is<is_lower, is_upper | is_title>},
    {"isupper", case_is<is_upper, is_lower | is_title>},
    {"istitle", is_title_case},
    {"isidentifier", is_identifier},
};

}  // namespace

Function::Call find_text_method(std::string_view name) { return find_in(methods, name); }

}  // namespace tessera::jinja
