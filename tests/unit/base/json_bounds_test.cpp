#include "runtime/base/json_bounds.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

using namespace tessera;

namespace {

constexpr JsonBounds bounds{3, 6, 4, 2};

std::string exceeded(const std::string& text) { return json_exceeds(text, bounds).value_or("nothing"); }

}  // namespace

BOOST_AUTO_TEST_SUITE(json_bounds)

BOOST_AUTO_TEST_CASE(what_lies_within_all_bounds_exceeds_none) {
  for (const char* const text :
       {"", "1", "[[[]]]", "[1,2,3,4]", R"({"a":{"b":1,"c":2}})", R"(["[[[[", ",,,,,,,", "\\\"::::"])"})
    BOOST_TEST(exceeded(text) == "nothing", text);
}

BOOST_AUTO_TEST_CASE(each_bound_is_told) {
  BOOST_TEST(exceeded("[[[[") == "is nested more than 3 levels deep");
  BOOST_TEST(exceeded("[1,2,3,4,5,6]") == "has more than 6 values");
  BOOST_TEST(exceeded("[[],[],[],[]]") == "has more than 6 values");
  BOOST_TEST(exceeded(R"({"a":1,"b":2,"c":3})").starts_with("has an object of more than 2 keys"));
  BOOST_TEST(exceeded(R"([{"a":1,"b":2},{"c":1,"d":2}])") == "has more than 6 values");
  BOOST_TEST(json_exceeds(R"([{"a":1,"b":2},{"c":1,"d":2},{"e":1}])", {3, 99, 4, 2})->ends_with("4 keys in all"));
}

BOOST_AUTO_TEST_CASE(keys_and_values_are_unbounded_where_nobody_bounds_them) {
  std::string text = "{";
  for (int i = 0; i < 5000; ++i) text += "\"k\":0,";
  BOOST_TEST(!json_exceeds(text, {1, 10'000}));
}

BOOST_AUTO_TEST_CASE(what_is_no_json_is_scanned_all_the_same) {
  for (const char* const text : {"]]]]]]", "}{", "\"never closed \\", "\"never closed [[[[", "::", "\xff"})
    BOOST_TEST(exceeded(text) == "nothing", text);
  BOOST_TEST(exceeded("]]][[[[") == "is nested more than 3 levels deep");
  BOOST_TEST(exceeded(":::").starts_with("has an object of more than 2 keys"));
}

BOOST_AUTO_TEST_SUITE_END()
