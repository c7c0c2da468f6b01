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

}  // namespace

Outcome<Json> parse_body(std::string_view body) {
  constexpr JsonBounds bounds{body_nesting_max, body_values_max, body_keys_max, object_keys_max};
  if (const auto exceeded = json_exceeds(body, bounds)) return bad_request("the body " + *exceeded);
  std::set<std::string> keys;
  std::optional<std::string> twice;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 && !keys.insert(parsed.get<std::string>()).second)
      twice = parsed.get<std::string>();
    return true;
  };
  try {
    Json json = Json::parse(body, watch);
    if (!json.is_object()) return bad_request("the body must be a JSON object, such as {\"model\": \"…\"}");
    if (twice) return bad_request("the body has the key '" + shortened(*twice) + "' twice");
    return json;
  } catch (const Json::exception& error) {
    return bad_request("the body is not valid JSON: " + cause_of(error.what()));
  }
}

}  // namespace tessera::gateway
