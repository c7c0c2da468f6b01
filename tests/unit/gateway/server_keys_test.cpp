// A gateway with API keys, over sockets: who is let in, to which models, how often, and until when.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/key_file.hpp"
#include "gateway/key_watch.hpp"
#include "gateway/shown_key.hpp"
#include "runtime/base/clock.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/gateway/server_fixture.hpp"
#include "tests/unit/gateway/socket_client.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

namespace {

/// A gateway whose keys lie in a folder of their own.
struct KeyServer {
  explicit KeyServer(GatewayOptions options = {}) {
    BOOST_REQUIRE(static_cast<bool>(add_key(file, {"first", hash_of_key(secret), {}})));
    options.key_file = file;
    server = std::make_unique<Server>(options);
  }
  std::uint16_t port() const { return server->port(); }
  /// A new key's secret.
  std::string add(ApiKey key) const {
    const std::string drawn = draw_key();
    key.hash = hash_of_key(drawn);
    const auto added = add_key(file, std::move(key));
    BOOST_REQUIRE_MESSAGE(static_cast<bool>(added), added.error().message);
    return drawn;
  }

  const TemporaryFolder folder;
  const std::string file = folder.file("keys.json");
  const std::string secret = draw_key();
  std::unique_ptr<Server> server;
};

std::string bearer(const std::string& secret) { return "Authorization: Bearer " + secret + "\r\n"; }

ApiKey named(const std::string& name) { return {name, {}, {}}; }

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_server_keys)

BOOST_AUTO_TEST_CASE(whoever_shows_a_key_is_let_in_and_others_are_not) {
  KeyServer keys;
  HttpClient client(keys.port());
  for (const std::string& shown : {bearer(keys.secret), "X-Api-Key: " + keys.secret + "\r\n"}) {
    BOOST_TEST(client.get("/v1/models", shown).status == 200);
    BOOST_TEST(client.post(complete, hello, shown).json()["choices"][0]["text"] == "Hello, world");
    BOOST_TEST(client.get("/metrics", shown).status == 200);
    BOOST_TEST(client.get("/", shown).status == 200);
    BOOST_TEST(client.get("/v1/nothing", shown).status == 404);
    BOOST_TEST(client.get(complete, shown).status == 405);
  }
  const std::size_t started = keys.server->models.started.size();
  for (const std::string& shown :
       {std::string(), bearer(draw_key()), bearer(keys.secret + "0"), bearer(keys.secret.substr(0, 20)), bearer(""),
        "X-Api-Key: x\r\n" + bearer(std::string(1000, 'k')), std::string("Authorization: Basic eDp5\r\n")}) {
    for (const char* const path : {"/v1/models", "/metrics", "/v1/nothing"}) {
      const HttpAnswer refused = client.get(path, shown);
      BOOST_TEST(refused.status == 401, path);
      BOOST_TEST(error_code(refused) == "invalid_api_key");
      BOOST_TEST(refused.headers.at("www-authenticate") == "Bearer");
    }
    BOOST_TEST(client.post(complete, hello, shown).status == 401);
    BOOST_TEST(client.get("/health/live", shown).status == 200);
    BOOST_TEST(client.get("/health/ready", shown).status == 200);
    // The page is the same everywhere, and asks for a key itself.
    BOOST_TEST(client.get("/", shown).status == 200);
    BOOST_TEST(client.get("/chat.js", shown).body.find("Authorization") != std::string::npos);
    BOOST_TEST(client.get("/openapi.json", shown).status == 200);
  }
  BOOST_TEST(keys.server->models.started.size() == started);
}

BOOST_AUTO_TEST_CASE(each_key_is_a_tenant_of_its_own) {
  KeyServer keys;
  HttpClient client(keys.port());
  const std::string second = keys.add(named("second"));
  for (const std::string& secret : {keys.secret, second, second}) client.post(complete, hello, bearer(secret));
  BOOST_REQUIRE(static_cast<bool>(remove_key(keys.file, "second")));
  client.post(complete, hello, bearer(keys.add(named("second"))));
  const std::vector<gateway::StreamSpec>& started = keys.server->models.started;
  BOOST_REQUIRE(started.size() == 4u);
  BOOST_TEST(!started[0].tenant.empty());
  BOOST_TEST(started[0].tenant.size() <= tenant_bytes_max);
  BOOST_TEST(started[0].tenant != started[1].tenant);
  BOOST_TEST(started[1].tenant == started[2].tenant);
  BOOST_TEST(started[1].tenant != started[3].tenant);
}

BOOST_AUTO_TEST_CASE(a_refusal_never_repeats_what_was_shown) {
  KeyServer keys;
  HttpClient client(keys.port());
  const std::string wrong = draw_key();
  const HttpAnswer refused = client.get("/v1/models", bearer(wrong));
  BOOST_TEST(refused.body.find(wrong) == std::string::npos);
  BOOST_TEST(refused.body.find(wrong.substr(4, 12)) == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_key_is_good_once_it_is_made_and_worth_nothing_once_it_is_revoked) {
  KeyServer keys;
  keys.server->models.allow(2);
  const std::string secret = keys.add(named("second"));
  HttpClient busy(keys.port()), client(keys.port());
  BOOST_TEST(client.get("/v1/models", bearer(secret)).status == 200);
  busy.send(post_bytes(complete, hello_stream, bearer(secret)));
  busy.read_until("He");
  BOOST_REQUIRE(static_cast<bool>(remove_key(keys.file, "second")));
  BOOST_TEST(client.get("/v1/models", bearer(secret)).status == 401);
  BOOST_TEST(client.get("/v1/models", bearer(keys.secret)).status == 200);
  // What runs comes to its end; the next request of its connection is refused.
  keys.server->models.allow(100);
  busy.read_until("[DONE]");
  busy.read_until("0\r\n\r\n");
  BOOST_TEST(busy.get("/v1/models", bearer(secret)).status == 401);
  // Its name may be another key's, which has a secret of its own.
  const std::string again = keys.add(named("second"));
  BOOST_TEST(client.get("/v1/models", bearer(again)).status == 200);
  BOOST_TEST(client.get("/v1/models", bearer(secret)).status == 401);
}

BOOST_AUTO_TEST_CASE(what_runs_on_a_worker_outlives_its_revoked_key_and_its_client) {
  KeyServer keys;
  std::promise<void> found, go_on;
  std::atomic<bool> first{true};
  keys.server->models.finding = [&] {
    if (!first.exchange(false)) return;
    found.set_value();
    go_on.get_future().wait();
  };
  const std::string secret = keys.add(named("second"));
  HttpClient client(keys.port()), goes(keys.port());
  goes.send(post_bytes(complete, hello, bearer(secret)));
  found.get_future().wait();
  BOOST_REQUIRE(static_cast<bool>(remove_key(keys.file, "second")));
  goes.close();
  // Once the server has noticed, nothing but the worker knows the key's caller.
  for (int attempt = 0;; ++attempt) {
    const std::string metrics = client.get("/metrics", bearer(keys.secret)).body;
    if (metrics.find("tessera_http_connections 1\n") != std::string::npos) break;
    BOOST_REQUIRE(attempt < 10'000);
  }
  go_on.set_value();
  BOOST_TEST(client.post(complete, hello, bearer(keys.secret)).status == 200);
  BOOST_TEST(keys.server->models.wait_running(0));
}

BOOST_AUTO_TEST_CASE(an_expired_key_is_refused) {
  KeyServer keys;
  HttpClient client(keys.port());
  ApiKey old = named("old"), good = named("good");
  const auto now = SystemWallClock().now();
  old.expires = now;
  good.expires = now + std::chrono::hours(1);
  const HttpAnswer refused = client.get("/v1/models", bearer(keys.add(old)));
  BOOST_TEST(refused.status == 401);
  BOOST_TEST(refused.json()["error"]["message"].get<std::string>().find("expired") != std::string::npos);
  BOOST_TEST(client.get("/v1/models", bearer(keys.add(good))).status == 200);
}

BOOST_AUTO_TEST_CASE(a_key_for_some_models_sees_and_uses_no_other) {
  KeyServer keys;
  HttpClient client(keys.port());
  ApiKey key = named("scoped");
  key.models = {"story", "not-yet-there"};
  const std::string shown = bearer(keys.add(key));
  const Json list = client.get("/v1/models", shown).json();
  BOOST_TEST(list["data"].size() == 1u);
  BOOST_TEST(list["data"][0]["id"] == "story");
  BOOST_TEST(client.get("/v1/models/story", shown).status == 200);
  BOOST_TEST(client.post(complete, hello, shown).status == 200);
  BOOST_TEST(client.post("/tokenize", R"({"model": "story", "prompt": "x"})", shown).status == 200);
  // Whether there is such a model is not told.
  for (const std::string& model : {std::string("plain"), std::string("nobody")}) {
    const std::string body = "{\"model\": \"" + model + "\", \"prompt\": \"x\"}";
    for (const HttpAnswer& refused :
         {client.get("/v1/models/" + model, shown), client.post(complete, body, shown),
          client.post("/tokenize", body, shown),
          client.post("/detokenize", "{\"model\": \"" + model + "\", \"tokens\": [1]}", shown),
          client.post(converse, "{\"model\": \"" + model + R"(", "messages": [{"role": "user", "content": "x"}]})",
                      shown)}) {
      BOOST_TEST(refused.status == 403);
      BOOST_TEST(error_code(refused) == "permission_denied");
    }
    // The other families say it in their own words.
    const std::string named = "/v1/models/" + model, inferred = "/v2/models/" + model;
    for (const std::string& path : {named + "/versions/1", named + "/metadata", inferred, inferred + "/ready",
                                    "/api/v1/models/" + model, named + "/stream"}) {
      const std::string opens = path.ends_with("/stream")
                                    ? "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                    : "";
      BOOST_TEST(client.get(path, shown + opens).status == 403, path);
    }
    BOOST_TEST(client.post(named + ":predict", R"({"instances": ["x"]})", shown).status == 403);
    BOOST_TEST(client.post(inferred + "/generate", R"({"text_input": "x"})", shown).status == 403);
    BOOST_TEST(client.post("/api/v1/predictions", "{\"model\": \"" + model + R"(", "input": "{}"})", shown).status ==
               403);
    BOOST_TEST(client.post("/api/v1/models", "{\"model\": \"" + model + "\"}", shown).status == 403);
  }
  BOOST_TEST(client.post(complete, R"({"model": "not-yet-there", "prompt": "x"})", shown).status == 404);
  BOOST_TEST(client.get("/metrics", shown).status == 403);
  BOOST_TEST(client.get("/v1/models", bearer(keys.secret)).json()["data"].size() == 5u);
  BOOST_TEST(keys.server->models.started.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_keys_requests_a_minute_are_told_and_bounded) {
  KeyServer keys;
  HttpClient client(keys.port());
  ApiKey key = named("limited");
  key.limits.requests_per_minute = 3;
  const std::string shown = bearer(keys.add(key));
  const HttpAnswer whole = client.post(complete, hello, shown);
  BOOST_TEST(whole.headers.at("x-ratelimit-limit-requests") == "3");
  BOOST_TEST(whole.headers.at("x-ratelimit-remaining-requests") == "2");
  BOOST_TEST(!whole.headers.contains("x-ratelimit-limit-tokens"));
  BOOST_TEST(client.post(complete, hello_stream, shown).headers.at("x-ratelimit-remaining-requests") == "1");
  BOOST_TEST(client.get("/v1/nothing", shown).headers.at("x-ratelimit-remaining-requests") == "0");
  const HttpAnswer refused = client.post(complete, hello, shown);
  BOOST_TEST(refused.status == 429);
  BOOST_TEST(error_code(refused) == "rate_limit_exceeded");
  BOOST_TEST(std::stoi(refused.headers.at("retry-after")) > 0);
  BOOST_TEST(refused.headers.at("x-ratelimit-remaining-requests") == "0");
  // Others are not held up, and have no such headers.
  BOOST_TEST(!client.post(complete, hello, bearer(keys.secret)).headers.contains("x-ratelimit-limit-requests"));
}

BOOST_AUTO_TEST_CASE(a_keys_tokens_are_those_of_prompts_and_completions) {
  KeyServer keys;
  HttpClient client(keys.port());
  ApiKey key = named("limited");
  key.limits.tokens_per_minute = 1000;
  const std::string shown = bearer(keys.add(key));
  // 2 tokens of the prompt, once, and 13 of each choice.
  const HttpAnswer whole =
      client.post(complete, R"({"model": "story", "prompt": "x", "n": 2, "max_tokens": 64})", shown);
  BOOST_TEST(whole.json()["usage"]["total_tokens"] == 28);
  BOOST_TEST(whole.headers.at("x-ratelimit-limit-tokens") == "1000");
  BOOST_TEST(whole.headers.at("x-ratelimit-remaining-tokens") == "972");
  ApiKey small = named("small");
  small.limits.tokens_per_minute = 5;
  const std::string short_of = bearer(keys.add(small));
  BOOST_TEST(client.post(complete, hello, short_of).status == 200);
  const HttpAnswer refused = client.post(complete, hello, short_of);
  BOOST_TEST(refused.status == 429);
  BOOST_TEST(std::stoi(refused.headers.at("retry-after")) > 60);
}

BOOST_AUTO_TEST_CASE(a_keys_requests_at_once_are_bounded_until_one_ends_or_its_client_goes) {
  KeyServer keys;
  keys.server->models.allow(2);
  ApiKey key = named("limited");
  key.limits.concurrent_requests = 1;
  const std::string shown = bearer(keys.add(key));
  HttpClient client(keys.port());
  for (const bool goes : {true, false}) {
    auto busy = std::make_unique<HttpClient>(keys.port());
    busy->send(post_bytes(complete, hello_stream, shown));
    busy->read_until("He");
    BOOST_TEST(client.get("/v1/models", shown).status == 429);
    if (goes) {
      busy.reset();
      BOOST_TEST(keys.server->models.wait_running(0));
    } else {
      keys.server->models.allow(100);
      busy->read_until("0\r\n\r\n");
    }
    // The permit goes right behind the stream.
    int status = 429;
    for (int attempt = 0; status == 429 && attempt < 1000; ++attempt) status = client.get("/v1/models", shown).status;
    BOOST_TEST(status == 200);
  }
}

BOOST_AUTO_TEST_CASE(a_change_of_the_file_forgets_no_other_keys_requests) {
  KeyServer keys;
  HttpClient client(keys.port());
  ApiKey key = named("limited");
  key.limits.requests_per_minute = 2;
  const std::string shown = bearer(keys.add(key));
  BOOST_TEST(client.get("/v1/models", shown).status == 200);
  BOOST_TEST(client.get("/v1/models", shown).status == 200);
  keys.add(named("another"));
  BOOST_TEST(client.get("/v1/models", shown).status == 429);
}

BOOST_AUTO_TEST_CASE(while_the_file_is_gone_or_damaged_nobody_is_let_in) {
  KeyServer keys;
  HttpClient client(keys.port());
  const std::string kept = keys.folder.file("kept");
  std::filesystem::copy_file(keys.file, kept);
  const auto refused = [&] {
    const HttpAnswer answer = client.get("/v1/models", bearer(keys.secret));
    BOOST_TEST(answer.status == 503);
    BOOST_TEST(error_code(answer) == "keys_unavailable");
    BOOST_TEST(client.get("/health/live").status == 200);
  };
  std::filesystem::remove(keys.file);
  refused();
  std::ofstream(keys.file) << "{\"version\": 1";
  std::filesystem::permissions(keys.file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  refused();
  std::filesystem::rename(kept, keys.file);
  BOOST_TEST(client.get("/v1/models", bearer(keys.secret)).status == 200);
}

BOOST_AUTO_TEST_CASE(other_names_and_pages_are_no_matter_to_whoever_shows_a_key) {
  KeyServer keys;
  HttpClient client(keys.port());
  for (const std::string& shown : {bearer(keys.secret), std::string()}) {
    client.send("GET /v1/models HTTP/1.1\r\nHost: gateway.example\r\nOrigin: https://app.example\r\n" + shown + "\r\n");
    BOOST_TEST(client.read().status == (shown.empty() ? 401 : 200));
  }
  client.send("GET /health/live HTTP/1.1\r\nHost: 10.0.0.7:8080\r\n\r\n");
  BOOST_TEST(client.read().status == 200);
}

BOOST_AUTO_TEST_CASE(a_stream_ends_with_an_error_when_its_key_is_revoked) {
  KeyServer keys;
  keys.server->models.allow(2);
  const std::string shown = bearer(keys.add(named("leaver")));
  HttpClient client(keys.port()), other(keys.port());
  client.send(post_bytes(complete, hello_stream, shown));
  client.read_until("He");
  other.send(post_bytes(complete, hello_stream, bearer(keys.secret)));
  other.read_until("He");
  BOOST_REQUIRE(static_cast<bool>(remove_key(keys.file, "leaver")));
  const std::string last = client.read_until("0\r\n\r\n");
  BOOST_TEST(last.find("\"code\":\"invalid_api_key\"") != std::string::npos, last);
  BOOST_TEST(last.find("[DONE]") == std::string::npos);
  BOOST_TEST(keys.server->models.wait_running(1));
  keys.server->models.allow(100);
  BOOST_TEST(other.read_until("0\r\n\r\n").find("[DONE]") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(texts_get_no_vectors_when_their_key_is_revoked) {
  KeyServer keys;
  keys.server->models.allow(0);
  HttpClient client(keys.port());
  client.send(
      post_bytes("/v1/embeddings", R"({"model": "encoder", "input": ["a", "b"]})", bearer(keys.add(named("leaver")))));
  BOOST_TEST(keys.server->models.wait_running(2));
  BOOST_REQUIRE(static_cast<bool>(remove_key(keys.file, "leaver")));
  const HttpAnswer answer = client.read();
  BOOST_TEST(answer.status == 401);
  BOOST_TEST(error_code(answer) == "invalid_api_key");
  BOOST_TEST(keys.server->models.wait_running(0));
}

BOOST_AUTO_TEST_CASE(a_socket_ends_when_its_key_is_revoked_and_a_stream_of_it_with_an_error) {
  KeyServer keys;
  keys.server->models.allow(2);
  const std::string shown = bearer(keys.add(named("leaver")));
  const std::string path = "/v1/models/story/stream";
  SocketClient busy(keys.port(), path, shown), quiet(keys.port(), path, shown), asks(keys.port(), path, shown);
  busy.send(R"({"id": "a", "prompt": "x"})");
  BOOST_TEST(busy.message()["text"] == "He");
  BOOST_REQUIRE(static_cast<bool>(remove_key(keys.file, "leaver")));
  asks.send(R"({"id": "b", "prompt": "x"})");
  const Json ended = busy.message();
  BOOST_TEST(ended["type"] == "error");
  BOOST_TEST(ended["id"] == "a");
  BOOST_TEST(ended["error"]["code"] == "invalid_api_key");
  BOOST_TEST(busy.read().code() == 1008);
  BOOST_TEST(quiet.read().code() == 1008);
  // Whichever comes first: the look at its message, or at its key.
  SocketFrame frame = asks.read();
  if (frame.opcode == 1) {
    const Json refused = Json::parse(frame.payload);
    BOOST_TEST(refused["error"]["code"] == "invalid_api_key");
    frame = asks.read();
  }
  BOOST_TEST(frame.code() == 1008);
  BOOST_TEST(keys.server->models.wait_running(0));
}

BOOST_AUTO_TEST_CASE(a_socket_ends_when_its_key_expires) {
  KeyServer keys;
  ApiKey key = named("short");
  key.expires = SystemWallClock().now() + std::chrono::seconds(3);
  SocketClient client(keys.port(), "/v1/models/story/stream", bearer(keys.add(key)));
  client.send(R"({"prompt": "x", "max_tokens": 1})");
  BOOST_TEST(client.message()["text"] == "H");
  BOOST_TEST(client.message()["type"] == "end");
  BOOST_TEST(client.read().code() == 1008);
}

BOOST_AUTO_TEST_CASE(what_runs_outlives_that_its_keys_cannot_be_read) {
  BOOST_TEST(ends_key(invalid_api_key("revoked")));
  BOOST_TEST(!ends_key({503, "server_error", "its keys cannot be read", {}, "keys_unavailable"}));
  BOOST_TEST(!ends_key(overloaded("too much to do")));
}

BOOST_AUTO_TEST_CASE(metrics_are_open_where_that_was_asked_for) {
  GatewayOptions options;
  options.open_metrics = true;
  KeyServer keys(options);
  HttpClient client(keys.port());
  const HttpAnswer metrics = client.get("/metrics");
  BOOST_TEST(metrics.status == 200);
  BOOST_TEST(client.get("/v1/models").status == 401);
  BOOST_TEST(client.get("/metrics").body.find("tessera_http_requests_total{route=\"/v1/models\",status=\"401\"} 1") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(with_keys_it_may_listen_for_other_machines) {
  GatewayOptions options;
  options.listen[0].host = "0.0.0.0";
  options.insecure_http = true;
  KeyServer keys(options);
  HttpClient client(keys.port());
  BOOST_TEST(client.get("/v1/models").status == 401);
  BOOST_TEST(client.get("/v1/models", bearer(keys.secret)).status == 200);
  FakeModels models;
  options.key_file = keys.folder.file("absent");
  const auto absent = Gateway::start(options, models);
  BOOST_REQUIRE(!absent);
  BOOST_TEST(absent.error().message.find("tessera keys create") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(each_listener_offers_its_own_routes) {
  GatewayOptions options;
  options.listen[0].sets = *RouteSets::parse("openai");
  options.listen.push_back({"127.0.0.1", 0, *RouteSets::parse("health,metrics")});
  options.listen.push_back({"127.0.0.1", 0, *RouteSets::parse("tfserving")});
  Server server(options);
  HttpClient main(server.port()), side(server.gateway->port(1));
  BOOST_TEST(server.port() != server.gateway->port(1));
  BOOST_TEST(main.post(complete, hello).status == 200);
  BOOST_TEST(main.get("/health/live").status == 404);
  BOOST_TEST(main.get("/metrics").status == 404);
  BOOST_TEST(side.get("/health/live").status == 200);
  BOOST_TEST(side.get("/metrics").status == 200);
  BOOST_TEST(error_code(side.post(complete, hello)) == "unknown_url");
  // TF Serving's status of a model is part of OpenAI's object, and alone where that is not offered.
  HttpClient serving(server.gateway->port(2));
  BOOST_TEST(main.get("/v1/models/story").json()["object"] == "model");
  BOOST_TEST(serving.get("/v1/models/story").json().size() == 1u);
  BOOST_TEST(serving.get("/v1/models/story").json()["model_version_status"][0]["state"] == "AVAILABLE");
  BOOST_TEST(serving.get("/v1/models").status == 404);
  BOOST_TEST(server.gateway->url(1) == "http://127.0.0.1:" + std::to_string(server.gateway->port(1)));
  BOOST_TEST(server.gateway->drain(std::chrono::seconds(20)));
  BOOST_TEST(side.closed());
}

BOOST_AUTO_TEST_SUITE_END()
