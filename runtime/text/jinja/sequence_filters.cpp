#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

#include "runtime/text/jinja/access.hpp"
#include "runtime/text/jinja/filter_tables.hpp"
#include "runtime/text/jinja/operations.hpp"
#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/text_search.hpp"
#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

Result<AttributePath> AttributePath::parse(Run& run, const std::optional<Value>& attribute) {
  AttributePath path;
  if (!attribute || attribute->is_none()) return path;
  if (!attribute->is_string()) {
    path.parts_.push_back(*attribute);
    return path;
  }
  TESSERA_CHECK(run.step(attribute->text().size()));
  for (const std::string_view part : split_text(attribute->text(), ".", -1)) {
    const bool is_index =
        !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string_view::npos;
    path.parts_.push_back(is_index ? Value::of(std::stoi(std::string(part))) : run.text(std::string(part)));
  }
  return path;
}

Result<std::vector<AttributePath>> AttributePath::parse_many(Run& run, const std::optional<Value>& attribute) {
  std::vector<AttributePath> paths;
  if (!attribute || !attribute->is_string()) {
    TESSERA_TRY(AttributePath path, parse(run, attribute));
    paths.push_back(std::move(path));
    return paths;
  }
  for (const std::string_view part : split_text(attribute->text(), ",", -1)) {
    TESSERA_TRY(AttributePath path, parse(run, run.text(std::string(part))));
    paths.push_back(std::move(path));
  }
  return paths;
}

Result<Value> AttributePath::get(Run& run, const Value& element) const {
  TESSERA_CHECK(run.step());
  Value value = element;
  for (const Value& part : parts_) {
    TESSERA_TRY(value, get_item(run, value, part));
    if (value.is_undefined() && otherwise && !otherwise->is_none()) value = *otherwise;
  }
  if (ignore_case && value.is_string()) {
    TESSERA_CHECK(run.reserve(3 * value.text().size()));
    value = run.text(to_lower(value.text()));
  }
  return value;
}

namespace {

/// Elements in order by their keys. Several keys are compared one after the other, and then only those that differ have
/// to have an order; a single one (`alone`) always has to.
Result<void> sort_by_keys(Run& run, std::vector<Value>& elements, const std::vector<std::vector<Value>>& keys,
                          bool reverse, bool alone) {
  std::vector<std::size_t> order(elements.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::optional<Error> failure;
  const auto before = [&](std::size_t left, std::size_t right) {
    if (failure) return false;
    if (reverse) std::swap(left, right);
    for (std::size_t k = 0; k < keys[left].size(); ++k) {
      const auto same = alone ? Result<bool>(false) : equal(run, keys[left][k], keys[right][k]);
      const auto result = !same ? same : *same ? Result<bool>(false) : less(run, keys[left][k], keys[right][k]);
      if (!result) {
        failure = result.error();
        return false;
      }
      if (!*same) return *result;
    }
    return false;
  };
  std::stable_sort(order.begin(), order.end(), before);
  if (failure) return *failure;
  std::vector<Value> sorted;
  sorted.reserve(elements.size());
  for (const std::size_t place : order) sorted.push_back(std::move(elements[place]));
  elements = std::move(sorted);
  return {};
}

Result<std::vector<std::vector<Value>>> keys_of(Run& run, const std::vector<Value>& elements,
                                                const std::vector<AttributePath>& paths) {
  std::vector<std::vector<Value>> keys;
  keys.reserve(elements.size());
  for (const Value& element : elements) {
    std::vector<Value>& key = keys.emplace_back();
    for (const AttributePath& path : paths) {
      TESSERA_TRY(Value part, path.get(run, element));
      key.push_back(std::move(part));
    }
  }
  return keys;
}

Result<Value> sort(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "sort", arguments, {"reverse", "case_sensitive", "attribute"}));
  TESSERA_TRY(std::vector<AttributePath> paths, AttributePath::parse_many(run, bound[2]));
  for (AttributePath& path : paths) path.ignore_case = !flag(bound[1]);
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, value));
  TESSERA_TRY(const auto keys, keys_of(run, elements, paths));
  TESSERA_CHECK(sort_by_keys(run, elements, keys, flag(bound[0]), false));
  return run.list(std::move(elements));
}

Result<Value> dict_sort(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "dictsort", arguments, {"case_sensitive", "by", "reverse"}));
  if (value.is_undefined()) return run.error(value.reason());
  if (!value.is(Kind::dict))
    return run.error("dictsort needs a dict, not a value of type " + std::string(type_name(value)));
  std::string_view by = "key";
  if (bound[1]) {
    TESSERA_TRY(by, text_argument(run, *bound[1], "'by' of dictsort"));
  }
  if (by != "key" && by != "value") return run.error("'by' of dictsort must be 'key' or 'value'");
  TESSERA_TRY(const Value items, find_method(Kind::dict, "items")(run, value, {}));
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, items));
  TESSERA_TRY(AttributePath path, AttributePath::parse(run, Value::of(by == "key" ? 0 : 1)));
  path.ignore_case = !flag(bound[0]);
  TESSERA_TRY(const auto keys, keys_of(run, elements, {path}));
  TESSERA_CHECK(sort_by_keys(run, elements, keys, flag(bound[2]), true));
  return run.list(std::move(elements));
}

Result<Value> group_by(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "groupby", arguments, {"attribute", "default", "case_sensitive"}, 1));
  TESSERA_TRY(AttributePath path, AttributePath::parse(run, bound[0]));
  path.otherwise = bound[1];
  path.ignore_case = !flag(bound[2]);
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, value));
  TESSERA_TRY(const auto unsorted, keys_of(run, elements, {path}));
  TESSERA_CHECK(sort_by_keys(run, elements, unsorted, false, true));
  TESSERA_TRY(const auto keys, keys_of(run, elements, {path}));
  path.ignore_case = false;  // the name of a group is its first element's own
  std::vector<Value> groups;
  for (std::size_t begin = 0; begin < elements.size();) {
    std::size_t end = begin + 1;
    while (end < elements.size()) {
      TESSERA_TRY(const bool same, equal(run, keys[begin][0], keys[end][0]));
      if (!same) break;
      ++end;
    }
    TESSERA_TRY(Value name, path.get(run, elements[begin]));
    const auto first = elements.begin() + static_cast<std::ptrdiff_t>(begin);
    TESSERA_TRY(Value members, run.list({first, elements.begin() + static_cast<std::ptrdiff_t>(end)}));
    TESSERA_TRY(Value group, run.sequence(Kind::tuple, {std::move(name), std::move(members)}, SequenceName::group));
    groups.push_back(std::move(group));
    begin = end;
  }
  return run.list(std::move(groups));
}

/// What `unique` has seen: strings in a set, others in a list.
class Seen {
 public:
  /// Whether the value is new.
  Result<bool> add(Run& run, const Value& value) {
    if (value.is_string()) return strings_.insert(std::string(value.text())).second;
    if (!hashable(value)) return run.error("unique cannot compare values of type " + std::string(type_name(value)));
    for (const Value& known : others_) {
      TESSERA_TRY(const bool same, equal(run, known, value));
      if (same) return false;
    }
    others_.push_back(value);
    return true;
  }

 private:
  std::unordered_set<std::string> strings_;
  std::vector<Value> others_;
};

Result<Value> unique(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "unique", arguments, {"case_sensitive", "attribute"}));
  TESSERA_TRY(AttributePath path, AttributePath::parse(run, bound[1]));
  path.ignore_case = !flag(bound[0]);
  TESSERA_TRY(const std::vector<Value> elements, elements_of(run, value));
  Seen seen;
  std::vector<Value> kept;
  for (const Value& element : elements) {
    TESSERA_TRY(const Value key, path.get(run, element));
    TESSERA_TRY(const bool is_new, seen.add(run, key));
    if (is_new) kept.push_back(element);
  }
  return run.iterator(std::move(kept));
}

template <bool largest>
Result<Value> extreme(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "min", arguments, {"case_sensitive", "attribute"}));
  TESSERA_TRY(AttributePath path, AttributePath::parse(run, bound[1]));
  path.ignore_case = !flag(bound[0]);
  TESSERA_TRY(const std::vector<Value> elements, elements_of(run, value));
  if (elements.empty()) return run.undefined("there is no least or greatest element, the sequence is empty");
  TESSERA_TRY(const auto keys, keys_of(run, elements, {path}));
  std::size_t best = 0;
  for (std::size_t i = 1; i < elements.size(); ++i) {
    TESSERA_TRY(const bool better,
                largest ? less(run, keys[best][0], keys[i][0]) : less(run, keys[i][0], keys[best][0]));
    if (better) best = i;
  }
  return elements[best];
}

Result<Value> first(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "first", arguments, {}));
  if (value.is(Kind::iterator)) {
    auto& iterator = value.as<Sequence>();
    if (iterator.next < iterator.items.size()) return iterator.items[iterator.next++];
  }
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, value));
  if (elements.empty()) return run.undefined("there is no first element, the sequence is empty");
  return std::move(elements.front());
}

Result<Value> last(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "last", arguments, {}));
  if (value.is(Kind::iterator)) return run.error("an iterator has no last element; make it a list first");
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, value));
  if (elements.empty()) return run.undefined("there is no last element, the sequence is empty");
  return std::move(elements.back());
}

Result<Value> length(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "length", arguments, {}));
  TESSERA_TRY(const std::size_t size, length_of(run, value));
  return Value::of(size);
}

Result<Value> list(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "list", arguments, {}));
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, value));
  return run.list(std::move(elements));
}

Result<Value> reverse(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "reverse", arguments, {}));
  if (value.is_string()) {
    TESSERA_CHECK(run.reserve_each(value.text().size(), 5));
    std::u32string characters = to_characters(value.text());
    std::reverse(characters.begin(), characters.end());
    return run.text(to_utf8(characters), value.is_markup());
  }
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, value));
  std::reverse(elements.begin(), elements.end());
  if (value.is(Kind::iterator)) return run.list(std::move(elements));
  return run.iterator(std::move(elements));
}

Result<Value> items(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "items", arguments, {}));
  if (value.is_undefined()) return run.iterator({});
  if (!value.is(Kind::dict))
    return run.error("items needs a dict, not a value of type " + std::string(type_name(value)));
  TESSERA_TRY(const Value view, find_method(Kind::dict, "items")(run, value, {}));
  return run.iterator(view.items());
}

Result<Value> batch(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "batch", arguments, {"linecount", "fill_with"}, 1));
  TESSERA_TRY(const std::int64_t size, integer_argument(run, *bound[0], "the size of batch"));
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, value));
  std::vector<Value> batches;
  std::vector<Value> current;
  for (Value& element : elements) {
    if (static_cast<std::int64_t>(current.size()) == size) {
      TESSERA_TRY(Value whole, run.list(std::exchange(current, {})));
      batches.push_back(std::move(whole));
    }
    current.push_back(std::move(element));
  }
  if (!current.empty()) {
    if (bound[1] && !bound[1]->is_none() && static_cast<std::int64_t>(current.size()) < size) {
      TESSERA_CHECK(run.reserve_each(static_cast<std::size_t>(size), sizeof(Value)));
      current.resize(static_cast<std::size_t>(size), *bound[1]);
    }
    TESSERA_TRY(Value rest, run.list(std::move(current)));
    batches.push_back(std::move(rest));
  }
  return run.iterator(std::move(batches));
}

Result<Value> slice(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "slice", arguments, {"slices", "fill_with"}, 1));
  TESSERA_TRY(const std::int64_t count, integer_argument(run, *bound[0], "the number of slices"));
  TESSERA_TRY(std::vector<Value> elements, elements_of(run, value));
  if (count == 0) return run.error("the number of slices cannot be zero");
  std::vector<Value> slices;
  if (count < 0) return run.iterator({});
  TESSERA_CHECK(run.reserve_each(static_cast<std::size_t>(count), sizeof(Value) + sizeof(Sequence)));
  const auto size = static_cast<std::int64_t>(elements.size());
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const bool longer = i < size % count;
    const std::int64_t end = begin + size / count + (longer ? 1 : 0);
    std::vector<Value> part(elements.begin() + begin, elements.begin() + end);
    if (bound[1] && !bound[1]->is_none() && !longer) part.push_back(*bound[1]);
    TESSERA_TRY(Value one, run.list(std::move(part)));
    slices.push_back(std::move(one));
    begin = end;
  }
  return run.iterator(std::move(slices));
}

constexpr NamedFilter filters[] = {
    {"batch", batch},        {"count", length},    {"dictsort", dict_sort}, {"first", first}, {"groupby", group_by},
    {"items", items},        {"last", last},       {"length", length},      {"list", list},   {"max", extreme<true>},
    {"min", extreme<false>}, {"reverse", reverse}, {"slice", slice},        {"sort", sort},   {"unique", unique},
};

}  // namespace

std::span<const NamedFilter> sequence_filters() { return filters; }

}  // namespace tessera::jinja
