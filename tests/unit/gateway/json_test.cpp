// What a request's body may be before its fields are looked at, and how fields are read.
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/json_fields.hpp"

using namespace tessera::gateway;

namespace {

std::string refusal(const std::string& body) {
  const auto json = parse_body(body);
  BOOST_REQUIRE(!json);
  BOOST_TEST(json.error().status == 400);
  return json.error().message;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string nested(std::size_t levels) {
  return R"({"a":)" + std::string(levels, '[') + std::string(levels, ']') + "}";
}

std::string object_of(std::size_t keys) {
  std::string text = "{";
  for (std::size_t i = 0; i < keys; ++i) text += (i ? ",\"" : "\"") + std::to_string(i) + "\":0";
  return text + "}";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_json)

BOOST_AUTO_TEST_CASE(a_body_is_one_json_object) {
  const auto json = parse_body(R"({"b": 1, "a": "\u00e9"})");
  BOOST_REQUIRE(static_cast<bool>(json));
  BOOST_TEST((*json)["a"].get<std::string>() == "é");
  BOOST_TEST(json->begin().key() == "b");
  BOOST_TEST(has(refusal(""), "not valid JSON"));
  BOOST_TEST(has(refusal("{\"a\": 1"), "not valid JSON"));
  BOOST_TEST(has(refusal("{} {}"), "not valid JSON"));
  BOOST_TEST(has(refusal("{\"a\": \"\xff\"}"), "not valid JSON"));
  BOOST_TEST(has(refusal("{\"a\": NaN}"), "not valid JSON"));
  BOOST_TEST(has(refusal("[1]"), "must be a JSON object"));
  BOOST_TEST(has(refusal("null"), "must be a JSON object"));
}

BOOST_AUTO_TEST_CASE(a_key_that_comes_twice_is_refused_as_clients_may_mean_either) {
  BOOST_TEST(has(refusal(R"({"n": 1, "n": 2})"), "'n' twice"));
  BOOST_TEST(static_cast<bool>(parse_body(R"({"a": {"n": 1}, "n": 2})")));
}

BOOST_AUTO_TEST_CASE(what_would_take_too_much_memory_or_time_is_refused_before_it_is_built) {
  BOOST_TEST(static_cast<bool>(parse_body(nested(body_nesting_max - 1))));
  BOOST_TEST(has(refusal(nested(body_nesting_max)), "nested"));
  BOOST_TEST(has(refusal(std::string(1'000'000, '[')), "nested"));
  std::string many = R"({"a":[0)";
  for (std::size_t i = 0; i < body_values_max; ++i) many += ",0";
  BOOST_TEST(has(refusal(many + "]}"), "values"));
  BOOST_TEST(static_cast<bool>(parse_body(object_of(object_keys_max))));
  BOOST_TEST(has(refusal(object_of(object_keys_max + 1)), "keys"));
}

BOOST_AUTO_TEST_CASE(brackets_and_colons_in_texts_do_not_count) {
  const std::string text = std::string(1000, '[') + R"(\"\\)" + std::string(2000, ':');
  const auto json = parse_body(R"({"a": ")" + text + R"("})");
  BOOST_TEST(static_cast<bool>(json));
}

BOOST_AUTO_TEST_CASE(fields_have_types_and_ranges_and_the_first_wrong_one_decides) {
  const Json json =
      Json::parse(R"({"text": "x", "flag": true, "half": 0.5, "seven": 7, "list": ["a", "b"], "none": null,
    "huge": 18446744073709551615, "wrong": [1]})");
  JsonFields fields(json);
  BOOST_TEST(*fields.text("text") == "x");
  BOOST_TEST(*fields.flag("flag"));
  BOOST_TEST(*fields.number("half", 0, 1) == 0.5);
  BOOST_TEST(*fields.number("seven", 0, 7) == 7);
  BOOST_TEST(*fields.integer("seven", 7, 7) == 7);
  BOOST_TEST(fields.texts("list", 2).size() == 2);
  BOOST_TEST(fields.texts("text", 2).size() == 1);
  BOOST_TEST(!fields.text("none"));
  BOOST_TEST(!fields.text("absent"));
  BOOST_TEST(!fields.failed());
  fields.integer("huge", 0, 10);
  fields.text("wrong");
  const auto error = fields.finish();
  BOOST_REQUIRE(error.has_value());
  BOOST_TEST(*error->param == "huge");
  BOOST_TEST(has(error->message, "18446744073709551615"));
}

BOOST_AUTO_TEST_CASE(each_kind_of_wrong_value_is_named) {
  const auto message = [](const std::string& value, auto read) {
    const Json json = Json::parse("{\"x\": " + value + "}");
    JsonFields fields(json);
    read(fields);
    const auto error = fields.finish();
    BOOST_REQUIRE_MESSAGE(error.has_value(), value);
    BOOST_TEST(*error->param == "x");
    return error->message;
  };
  const auto number = [](JsonFields& fields) { fields.number("x", 0, 2); };
  const auto integer = [](JsonFields& fields) { fields.integer("x", 1, 128); };
  const auto texts = [](JsonFields& fields) { fields.texts("x", 4); };
  BOOST_TEST(has(message("2.5", number), "at most 2"));
  BOOST_TEST(has(message("\"1\"", number), "must be a number, not a string"));
  BOOST_TEST(has(message("true", number), "not a boolean"));
  BOOST_TEST(has(message("0", integer), "at least 1"));
  BOOST_TEST(has(message("1.0", integer), "must be an integer, not a decimal number"));
  BOOST_TEST(has(message("[1]", texts), "must be a list of strings"));
  BOOST_TEST(has(message("[\"a\",\"b\",\"c\",\"d\",\"e\"]", texts), "at most 4"));
  BOOST_TEST(has(message("\"\"", texts), "empty string"));
  BOOST_TEST(has(message("{}", texts), "not an object"));
  BOOST_TEST(has(message("1", [](JsonFields& fields) { fields.flag("x"); }), "true or false"));
}

BOOST_AUTO_TEST_CASE(a_field_that_nobody_reads_is_refused_by_name) {
  const Json json = Json::parse(R"({"known": 1, "surprise": null})");
  JsonFields fields(json);
  fields.accept("known");
  const auto error = fields.finish();
  BOOST_REQUIRE(error.has_value());
  BOOST_TEST(error->message == "Unrecognized request argument: surprise");
  BOOST_TEST(*error->code == "unknown_parameter");
}

BOOST_AUTO_TEST_CASE(what_is_not_supported_is_refused_unless_it_changes_nothing) {
  const auto refused = [](const std::string& value) {
    const Json json = Json::parse("{\"store\": " + value + "}");
    JsonFields fields(json);
    fields.refuse_unless("store", {false}, "Storing is");
    return fields.finish().has_value();
  };
  BOOST_TEST(!refused("false"));
  BOOST_TEST(!refused("null"));
  BOOST_TEST(refused("true"));
}

BOOST_AUTO_TEST_SUITE_END()
