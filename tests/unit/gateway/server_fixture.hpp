// A gateway whose models are played, and what its tests ask and read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/gateway.hpp"
#include "gateway/json_body.hpp"
#include "tests/unit/gateway/fake_models.hpp"
#include "tests/unit/gateway/http_client.hpp"

namespace tessera::test {

struct Server {
  explicit Server(const gateway::GatewayOptions& options = {});
  std::uint16_t port() const { return gateway->port(); }

  FakeModels models;
  std::unique_ptr<gateway::Gateway> gateway;
};

inline const std::string complete = "/v1/completions";
inline const std::string converse = "/v1/chat/completions";
inline const std::string hello = R"({"model": "story", "prompt": "x", "max_tokens": 64})";
inline const std::string hello_stream = R"({"model": "story", "prompt": "x", "max_tokens": 64, "stream": true})";

/// The JSON of every event; the last is "[DONE]".
std::vector<gateway::Json> events(const std::string& body);
/// What the chunks of a choice say, of either kind of completion.
std::string streamed_text(const std::vector<gateway::Json>& list, std::size_t choice = 0);
/// Of an answer that is an error in the protocol's shape.
std::string error_code(const HttpAnswer& answer);

}  // namespace tessera::test
