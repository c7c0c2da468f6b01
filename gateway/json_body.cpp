#include "gateway/json_body.hpp"

#include <optional>
#include <set>
#include <string>

#include "runtime/base/json_bounds.hpp"

namespace tessera::gateway {

namespace {

/// Where the parser stopped, without its exception's number in brackets.
std::string cause_of(const std::string& what) {
  const std::size_t end = what.find("] ");
  return end == std::string::npos ? what : what.substr(end + 2);
}

/// `what`: the subject of a message, such as "the body".
Outcome<Json> parse(std::string_view text, const std::string& what) {
  constexpr JsonBounds bounds{body_nesting_max, body_values_max, body_keys_max, object_keys_max};
  if (const auto exceeded = json_exceeds(text, bounds)) return bad_request(what + " " + *exceeded);
  std::set<std::string> keys;
  std::optional<std::string> twice;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 && !keys.insert(parsed.get<std::string>()).second)
      twice = parsed.get<std::string>();
    return true;
  };
  try {
    Json json = Json::parse(text, watch);
    // In an array the keys are those of its objects.
    if (json.is_object() && twice) return bad_request(what + " has the key '" + shortened(*twice) + "' twice");
    return json;
  } catch (const Json::exception& error) {
    return bad_request(what + " is not valid JSON: " + cause_of(error.what()));
  }
}

}  // namespace

Outcome<Json> parse_body(std::string_view body) {
  TESSERA_TRY(Json json, parse(body, "the body"));
  if (!json.is_object()) return bad_request("the body must be a JSON object, such as {\"model\": \"…\"}");
  return json;
}

Outcome<Json> parse_json_text(std::string_view text, const std::string& field) {
  return parse(text, "'" + field + "'");
}

}  // namespace tessera::gateway
