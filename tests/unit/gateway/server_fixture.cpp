#include "tests/unit/gateway/server_fixture.hpp"

#include <boost/test/unit_test.hpp>

namespace tessera::test {

using gateway::Json;

Server::Server(const gateway::GatewayOptions& options) {
  auto started = gateway::Gateway::start(options, models);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(started), started.error().message);
  gateway = *std::move(started);
}

std::vector<Json> events(const std::string& body) {
  std::vector<Json> result;
  std::size_t at = 0;
  while (at < body.size()) {
    const std::size_t end = body.find("\n\n", at);
    BOOST_REQUIRE(end != std::string::npos);
    const std::string event = body.substr(at, end - at);
    at = end + 2;
    if (event.starts_with(":")) continue;
    BOOST_REQUIRE(event.starts_with("data: "));
    result.push_back(event == "data: [DONE]" ? Json("[DONE]") : Json::parse(event.substr(6)));
  }
  return result;
}

std::string streamed_text(const std::vector<Json>& list, std::size_t choice) {
  std::string text;
  for (const Json& event : list) {
    if (!event.is_object() || !event.contains("choices")) continue;
    for (const Json& each : event["choices"]) {
      if (each["index"] != choice) continue;
      if (each.contains("text")) text += each["text"].get<std::string>();
      if (each.contains("delta") && each["delta"].contains("content"))
        text += each["delta"]["content"].get<std::string>();
    }
  }
  return text;
}

std::string error_code(const HttpAnswer& answer) {
  const Json json = answer.json();
  BOOST_REQUIRE(json.contains("error"));
  for (const char* const key : {"message", "type", "param", "code"}) BOOST_TEST(json["error"].contains(key));
  return json["error"]["code"].is_null() ? "" : json["error"]["code"].get<std::string>();
}

}  // namespace tessera::test
