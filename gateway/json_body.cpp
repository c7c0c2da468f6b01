#include "gateway/json_body.hpp"

#include <array>
#include <optional>
#include <set>
#include <string>

namespace tessera::gateway {

namespace {

/// Brackets and commas outside of strings, without building anything. Whether it is JSON at all, the parser says.
std::optional<ApiError> check_size(std::string_view body) {
  std::array<std::size_t, body_nesting_max + 1> keys_at{};  // of the innermost object of each depth
  std::size_t depth = 0, values = 1, keys = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') {
      if (++depth > body_nesting_max)
        return bad_request("the body is nested more than " + std::to_string(body_nesting_max) + " levels deep");
      keys_at[depth] = 0;
      ++values;
    }
    if ((c == ']' || c == '}') && depth > 0) --depth;
    if (c == ',' && ++values > body_values_max)
      return bad_request("the body has more than " + std::to_string(body_values_max) + " values");
    if (c == ':' && (++keys > body_keys_max || ++keys_at[depth] > object_keys_max)) {
      return bad_request("the body has an object of more than " + std::to_string(object_keys_max) +
                         " keys, or more than " + std::to_string(body_keys_max) + " keys in all");
    }
  }
  return {};
}

/// Where the parser stopped, without its exception's number in brackets.
std::string cause_of(const std::string& what) {
  const std::size_t end = what.find("] ");
  return end == std::string::npos ? what : what.substr(end + 2);
}

}  // namespace

Outcome<Json> parse_body(std::string_view body) {
  if (auto error = check_size(body)) return *std::move(error);
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
