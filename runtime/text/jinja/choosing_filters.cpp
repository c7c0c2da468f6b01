// Filters that apply other filters and tests to elements, and those that choose among values.
#include <utility>

#include "runtime/text/jinja/access.hpp"
#include "runtime/text/jinja/filter_tables.hpp"

namespace tessera::jinja {

namespace {

Result<Value> default_filter(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "default", arguments, {"default_value", "boolean"}));
  if (!value.is_undefined() && !(flag(bound[1]) && !truth(value))) return value;
  return bound[0] ? *bound[0] : run.text({});
}

Result<Value> attribute(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "attr", arguments, {"name"}, 1));
  TESSERA_TRY(const std::string_view name, text_argument(run, *bound[0], "the name of attr"));
  return get_property(run, value, name);
}

/// The arguments behind the first `count`.
Arguments behind(const Arguments& arguments, std::size_t count) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count), arguments.positional.end());
  rest.keywords = arguments.keywords;
  return rest;
}

Result<Value> map_attribute(Run& run, const Value& value, const Arguments& arguments) {
  std::optional<Value> path_text, otherwise;
  for (const auto& [name, argument] : arguments.keywords) {
    if (name == "attribute")
      path_text = argument;
    else if (name == "default")
      otherwise = argument;
    else
      return run.error("map has no argument '" + name + "'");
  }
  if (!path_text) return run.error("map needs the name of a filter, or attribute=");
  TESSERA_TRY(AttributePath path, AttributePath::parse(run, path_text));
  path.otherwise = otherwise;
  TESSERA_TRY(const std::vector<Value> elements, elements_of(run, value));
  std::vector<Value> results;
  for (const Value& element : elements) {
    TESSERA_TRY(Value result, path.get(run, element));
    results.push_back(std::move(result));
  }
  return run.iterator(std::move(results));
}

Result<Value> map(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto level, run.enter());
  TESSERA_CHECK(run.step(arguments.positional.size()));
  if (!truth(value)) return run.iterator({});
  if (arguments.positional.empty()) return map_attribute(run, value, arguments);
  TESSERA_TRY(const std::string_view name, text_argument(run, arguments.positional[0], "the filter of map"));
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) return run.error("there is no filter '" + std::string(name.substr(0, 100)) + "'");
  const Arguments rest = behind(arguments, 1);
  TESSERA_TRY(const std::vector<Value> elements, elements_of(run, value));
  std::vector<Value> results;
  for (const Value& element : elements) {
    TESSERA_CHECK(run.step());
    TESSERA_TRY(Value result, filter(run, element, rest));
    results.push_back(std::move(result));
  }
  return run.iterator(std::move(results));
}

/// select, reject (of_attribute: selectattr, rejectattr): elements that a test accepts, or refuses.
template <bool wanted, bool of_attribute>
Result<Value> choose(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto level, run.enter());
  TESSERA_CHECK(run.step(arguments.positional.size()));
  if (!truth(value)) return run.iterator({});
  std::size_t used = 0;
  AttributePath path;
  if (of_attribute) {
    if (arguments.positional.empty()) return run.error("selectattr needs the name of an attribute");
    TESSERA_TRY(path, AttributePath::parse(run, arguments.positional[0]));
    used = 1;
  }
  TestFunction test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > used) {
    TESSERA_TRY(const std::string_view name, text_argument(run, arguments.positional[used], "the name of a test"));
    test = find_test(name);
    if (test == nullptr) return run.error("there is no test '" + std::string(name.substr(0, 100)) + "'");
    rest = behind(arguments, used + 1);
  }
  TESSERA_TRY(const std::vector<Value> elements, elements_of(run, value));
  std::vector<Value> chosen;
  for (const Value& element : elements) {
    TESSERA_TRY(const Value tested, path.get(run, element));
    bool result = truth(tested);
    if (test != nullptr) {
      TESSERA_TRY(result, test(run, tested, rest));
    }
    if (result == wanted) chosen.push_back(element);
  }
  return run.iterator(std::move(chosen));
}

constexpr NamedFilter filters[] = {
    {"attr", attribute},
    {"d", default_filter},
    {"default", default_filter},
    {"map", map},
    {"reject", choose<false, false>},
    {"rejectattr", choose<false, true>},
    {"select", choose<true, false>},
    {"selectattr", choose<true, true>},
};

}  // namespace

std::span<const NamedFilter> choosing_filters() { return filters; }

}  // namespace tessera::jinja
