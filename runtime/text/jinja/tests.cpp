#include <cmath>

#include "runtime/text/jinja/filter_tables.hpp"
#include "runtime/text/jinja/operations.hpp"
#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

Result<void> no_arguments(Run& run, const Arguments& arguments) {
  if (arguments.positional.empty() && arguments.keywords.empty()) return {};
  return run.error("the test takes no arguments");
}

/// A test of the value alone.
template <bool (*function)(const Value&)>
Result<bool> simple(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_CHECK(no_arguments(run, arguments));
  return function(value);
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is(Kind::boolean); }
bool is_true(const Value& value) { return value.is(Kind::boolean) && value.boolean(); }
bool is_false(const Value& value) { return value.is(Kind::boolean) && !value.boolean(); }
bool is_integer(const Value& value) { return value.is(Kind::integer); }
bool is_real(const Value& value) { return value.is(Kind::real); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_string(); }
bool is_mapping(const Value& value) { return value.is(Kind::dict); }
bool is_escaped(const Value& value) { return value.is_markup(); }
bool is_callable(const Value& value) {
  return value.is(Kind::function) || value.is_undefined() || value.is(Kind::loop) || value.is(Kind::joiner);
}
bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_sequence() || value.is(Kind::dict) ||
         value.is(Kind::range);
}
bool can_be_iterated(const Value& value) { return is_iterable(value); }

template <bool (*function)(const Value&)>
Result<bool> exists(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_CHECK(no_arguments(run, arguments));
  return function(value);
}
bool is_filter(const Value& value) { return value.is_string() && find_filter(value.text()) != nullptr; }
bool is_test(const Value& value) { return value.is_string() && find_test(value.text()) != nullptr; }

template <Operation operation>
Result<bool> compared(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "the test", arguments, {"other"}, 1));
  return compare(run, operation, value, *bound[0]);
}

Result<bool> same_as(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "sameas", arguments, {"other"}, 1));
  const Value& other = *bound[0];
  if (value.kind() != other.kind()) return false;
  if (value.is_string()) return value.text() == other.text();
  if (value.object() || other.object()) return value.object() == other.object();
  return equal(run, value, other);
}

Result<bool> divides(Run& run, const Value& value, const Value& divisor, bool wanted) {
  TESSERA_TRY(const Value rest, binary(run, Operation::modulo, value, divisor));
  return (rest.is_number() && rest.as_real() == 0) == wanted;
}

Result<bool> divisible_by(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "divisibleby", arguments, {"num"}, 1));
  return divides(run, value, *bound[0], true);
}

template <bool odd>
Result<bool> parity(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_CHECK(no_arguments(run, arguments));
  TESSERA_TRY(const Value rest, binary(run, Operation::modulo, value, Value::of(2)));
  return rest.is_number() && rest.as_real() == (odd ? 1 : 0);
}

template <std::uint16_t wanted, std::uint16_t refused>
Result<bool> in_case(Run& run, const Value& value, const Arguments& arguments) {
  TESSERA_CHECK(no_arguments(run, arguments));
  TESSERA_TRY(const std::string text, to_text(run, value));
  TESSERA_CHECK(run.step(text.size() / 8));
  bool any = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::uint16_t flags = character_flags(next_character(text, at));
    if ((flags & refused) != 0) return false;
    any = any || (flags & wanted) != 0;
  }
  return any;
}

struct NamedTest {
  std::string_view name;
  TestFunction call;
};

constexpr NamedTest tests[] = {
    {"defined", simple<is_defined>},
    {"undefined", simple<is_undefined>},
    {"none", simple<is_none>},
    {"boolean", simple<is_boolean>},
    {"true", simple<is_true>},
    {"false", simple<is_false>},
    {"integer", simple<is_integer>},
    {"float", simple<is_real>},
    {"number", simple<is_number>},
    {"string", simple<is_string>},
    {"mapping", simple<is_mapping>},
    {"sequence", simple<is_sequence>},
    {"iterable", simple<can_be_iterated>},
    {"callable", simple<is_callable>},
    {"escaped", simple<is_escaped>},
    {"filter", exists<is_filter>},
    {"test", exists<is_test>},
    {"lower", in_case<is_lower, is_upper | is_title>},
    {"upper", in_case<is_upper, is_lower | is_title>},
    {"odd", parity<true>},
    {"even", parity<false>},
    {"divisibleby", divisible_by},
    {"sameas", same_as},
    {"in", compared<Operation::in>},
    {"==", compared<Operation::equal>},
    {"eq", compared<Operation::equal>},
    {"equalto", compared<Operation::equal>},
    {"!=", compared<Operation::not_equal>},
    {"ne", compared<Operation::not_equal>},
    {">", compared<Operation::greater>},
    {"gt", compared<Operation::greater>},
    {"greaterthan", compared<Operation::greater>},
    {">=", compared<Operation::greater_equal>},
    {"ge", compared<Operation::greater_equal>},
    {"<", compared<Operation::less>},
    {"lt", compared<Operation::less>},
    {"lessthan", compared<Operation::less>},
    {"<=", compared<Operation::less_equal>},
    {"le", compared<Operation::less_equal>},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  for (const NamedTest& test : tests) {
    if (test.name == name) return test.call;
  }
  return nullptr;
}

}  // namespace tessera::jinja
