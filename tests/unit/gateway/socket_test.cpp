// Texts over a WebSocket: messages, cancellation, limits, and the end.
#include <chrono>
#include <future>
#include <memory>
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/socket_message.hpp"
#include "tests/unit/gateway/server_fixture.hpp"
#include "tests/unit/gateway/socket_client.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;
using std::chrono::milliseconds;

namespace {

const std::string story = "/v1/models/story/stream";

/// The texts until the end, which it checks.
std::string told(SocketClient& client, const std::string& reason, const Json& id = {}) {
  std::string text;
  for (;;) {
    const Json message = client.message();
    if (!id.is_null()) BOOST_TEST(message["id"] == id);
    if (message["type"] == "text") {
      text += message["text"].get<std::string>();
      continue;
    }
    BOOST_TEST(message["type"] == "end");
    BOOST_TEST(message["finish_reason"] == reason);
    return text;
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_socket)

BOOST_AUTO_TEST_CASE(several_requests_are_answered_one_after_the_other) {
  Server server;
  SocketClient client(server.port(), story);
  BOOST_TEST(client.handshake().starts_with("HTTP/1.1 101"));
  BOOST_TEST(client.handshake().find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != std::string::npos);
  client.send(R"({"prompt": "x", "max_tokens": 5})");
  BOOST_TEST(told(client, "length") == "Hello");
  // Sent ahead.
  client.send(R"({"id": "a", "prompt": "x"})");
  client.send(R"({"id": "b", "text": "y", "max_tokens": 2, "seed": 9})");
  BOOST_TEST(told(client, "stop", "a") == "Hello, world");
  BOOST_TEST(told(client, "length", "b") == "He");
  BOOST_TEST(byte_tokenizer()->decode(server.models.started[2].prompt) == "<user>y\n<assistant>");
  BOOST_TEST(server.models.started[2].sampling.seed == 9u);
  client.send_close(1000);
  BOOST_TEST(client.read().code() == 1000);
  BOOST_TEST(client.connection().closed());
}

BOOST_AUTO_TEST_CASE(the_end_has_usage_and_seed) {
  Server server;
  SocketClient client(server.port(), story);
  client.send(R"({"prompt": "x", "max_tokens": 1})");
  BOOST_TEST(client.message().dump() == R"({"type":"text","text":"H"})");
  BOOST_TEST(
      client.message().dump() ==
      R"({"type":"end","finish_reason":"length","usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3,)"
      R"("prompt_tokens_details":{"cached_tokens":1}},)"
      R"("seed":4711})");
}

BOOST_AUTO_TEST_CASE(a_message_has_a_priority_and_a_time) {
  Server server;
  SocketClient client(server.port(), story);
  client.send(R"({"prompt": "x", "max_tokens": 1, "priority": -9, "timeout": 3600})");
  BOOST_TEST(told(client, "length") == "H");
  BOOST_REQUIRE(server.models.started.size() == 1u);
  BOOST_TEST(server.models.started[0].priority == -9);
  BOOST_TEST((server.models.started[0].timeout > milliseconds(0)));
  BOOST_TEST((server.models.started[0].timeout <= std::chrono::seconds(3600)));
  client.send(R"({"prompt": "x", "priority": 0.5})");
  BOOST_TEST(client.message()["type"] == "error");
}

BOOST_AUTO_TEST_CASE(tokens_come_as_soon_as_they_are_computed) {
  Server server;
  server.models.allow(2);
  SocketClient client(server.port(), story);
  client.send(R"({"prompt": "x"})");
  BOOST_TEST(client.message()["text"] == "He");
  server.models.allow(100);
  BOOST_TEST(told(client, "stop") == "llo, world");
}

BOOST_AUTO_TEST_CASE(a_cancellation_ends_what_runs_and_the_socket_serves_on) {
  Server server;
  server.models.allow(2);
  SocketClient client(server.port(), story);
  client.send(R"({"id": "a", "prompt": "x"})");
  BOOST_TEST(client.message()["text"] == "He");
  client.send(R"({"id": "dropped", "prompt": "x"})");
  client.send(R"({"type": "cancel"})");
  BOOST_TEST(client.message().dump() == R"({"type":"end","id":"a","finish_reason":"cancelled"})");
  BOOST_TEST(server.models.wait_running(0));
  server.models.allow(100);
  client.send(R"({"id": "c", "prompt": "x"})");
  BOOST_TEST(told(client, "stop", "c") == "Hello, world");
}

BOOST_AUTO_TEST_CASE(a_client_that_closes_or_goes_ends_what_runs) {
  Server server;
  server.models.allow(2);
  for (const bool politely : {true, false}) {
    auto client = std::make_unique<SocketClient>(server.port(), story);
    client->send(R"({"prompt": "x"})");
    BOOST_TEST(client->message()["text"] == "He");
    if (politely) {
      client->send_close(1001);
      BOOST_TEST(client->read().code() == 1000);
    }
    client.reset();
    BOOST_TEST(server.models.wait_running(0));
  }
  BOOST_TEST(server.gateway->streams() == 0u);
}

BOOST_AUTO_TEST_CASE(a_wrong_message_is_an_error_and_the_socket_serves_on) {
  Server server;
  SocketClient client(server.port(), story);
  for (const char* const message : {"no json", "[]", "{}", R"({"prompt": 5})", R"({"prompt": "x", "surprise": 1})",
                                    R"({"type": "other", "prompt": "x"})", R"({"prompt": "x", "text": "y"})",
                                    R"({"prompt": "x", "temperature": 9})"}) {
    client.send(message);
    const Json error = client.message();
    BOOST_TEST(error["type"] == "error", message);
    BOOST_TEST(error["error"]["message"].is_string());
    BOOST_TEST(!error.contains("id"));
  }
  client.send(R"({"id": "a", "prompt": 5})");
  BOOST_TEST(client.message()["id"] == "a");
  client.send(R"({"prompt": "x", "max_tokens": 5})");
  BOOST_TEST(told(client, "length") == "Hello");
}

BOOST_AUTO_TEST_CASE(a_failure_amid_a_text_is_its_last_message) {
  Server server;
  server.models.allow(3);
  SocketClient client(server.port(), story);
  client.send(R"({"id": "a", "prompt": "x"})");
  BOOST_TEST(client.message()["text"] == "Hel");
  server.models.fail_after_allowed({client::ErrorCode::exhausted, "too many wait"});
  const Json error = client.message();
  BOOST_TEST(error["type"] == "error");
  BOOST_TEST(error["id"] == "a");
  BOOST_TEST(error["error"]["code"] == "rate_limit_exceeded");
}

BOOST_AUTO_TEST_CASE(pings_are_answered_also_while_a_text_comes) {
  Server server;
  server.models.allow(2);
  SocketClient client(server.port(), story);
  client.send_frame(9, "one");
  SocketFrame pong = client.read();
  BOOST_TEST(pong.opcode == 10);
  BOOST_TEST(pong.payload == "one");
  client.send(R"({"prompt": "x"})");
  BOOST_TEST(client.message()["text"] == "He");
  client.send_frame(9, "two");
  pong = client.read();
  BOOST_TEST(pong.opcode == 10);
  BOOST_TEST(pong.payload == "two");
  server.models.allow(100);
  BOOST_TEST(told(client, "stop") == "llo, world");
}

BOOST_AUTO_TEST_CASE(a_message_may_come_in_fragments) {
  Server server;
  SocketClient client(server.port(), story);
  client.send_frame(1, R"({"prompt": "x", )", false);
  client.send_frame(9, "between");
  client.send_frame(0, R"("max_tokens": 5})");
  BOOST_TEST(client.read().opcode == 10);
  BOOST_TEST(told(client, "length") == "Hello");
}

BOOST_AUTO_TEST_CASE(messages_that_are_too_large_or_no_text_end_the_socket) {
  GatewayOptions options;
  options.body_bytes_max = 1000;
  Server server(options);
  SocketClient large(server.port(), story);
  large.send(R"({"prompt": ")" + std::string(2000, 'x') + "\"}");
  BOOST_TEST(large.read().code() == 1009);
  SocketClient fragments(server.port(), story);
  fragments.send_frame(1, std::string(600, ' '), false);
  fragments.send_frame(0, std::string(600, ' '));
  BOOST_TEST(fragments.read().code() == 1009);
  SocketClient bytes(server.port(), story);
  bytes.send_frame(2, "bytes");
  BOOST_TEST(bytes.read().code() == 1003);
  SocketClient broken(server.port(), story);
  broken.send_frame(5, "?");
  BOOST_TEST(broken.read().code() == 1002);
  BOOST_TEST(server.models.started.empty());
}

BOOST_AUTO_TEST_CASE(more_or_larger_requests_than_wait_are_read_later) {
  for (const std::size_t body_bytes_max : {std::size_t{1} << 20, std::size_t{100}}) {
    GatewayOptions options;
    options.body_bytes_max = body_bytes_max;
    Server server(options);
    server.models.allow(0);
    SocketClient client(server.port(), story);
    const std::size_t count = 40;
    for (std::size_t i = 0; i < count; ++i)
      client.send(R"({"id": ")" + std::to_string(i) + R"(", "prompt": "x", "max_tokens": 5})");
    BOOST_TEST(server.models.wait_running(1));
    server.models.allow(100);
    for (std::size_t i = 0; i < count; ++i) BOOST_TEST(told(client, "length", std::to_string(i)) == "Hello");
  }
}

BOOST_AUTO_TEST_CASE(before_the_handshake_failures_are_statuses) {
  Server server;
  BOOST_TEST(SocketClient(server.port(), "/v1/models/nobody/stream").handshake().starts_with("HTTP/1.1 404"));
  BOOST_TEST(
      SocketClient(server.port(), story, "Origin: https://evil.example\r\n").handshake().starts_with("HTTP/1.1 403"));
  BOOST_TEST(
      SocketClient(server.port(), story, "Origin: http://localhost\r\n").handshake().starts_with("HTTP/1.1 101"));
  HttpClient plain(server.port());
  const HttpAnswer answer = plain.get(story);
  BOOST_TEST(answer.status == 426);
  BOOST_TEST(error_code(answer) == "upgrade_required");
  plain.send("GET " + story +
             " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  BOOST_TEST(plain.read().status == 426);
}

BOOST_AUTO_TEST_CASE(an_idle_socket_is_closed) {
  GatewayOptions options;
  options.idle_timeout = milliseconds(200);
  Server server(options);
  SocketClient client(server.port(), story);
  BOOST_TEST(client.read().code() == 1001);
  client.send_close(1001);
  BOOST_TEST(client.connection().closed());
}

BOOST_AUTO_TEST_CASE(at_the_end_what_runs_comes_to_its_end_and_sockets_close) {
  Server server;
  server.models.allow(2);
  SocketClient idle(server.port(), story), busy(server.port(), story);
  busy.send(R"({"prompt": "x"})");
  BOOST_TEST(busy.message()["text"] == "He");
  auto drained = std::async(std::launch::async, [&] { return server.gateway->drain(std::chrono::seconds(20)); });
  BOOST_TEST(idle.read().code() == 1001);
  idle.send_close(1001);
  BOOST_TEST(idle.connection().closed());
  server.models.allow(100);
  BOOST_TEST(told(busy, "stop") == "llo, world");
  BOOST_TEST(busy.read().code() == 1001);
  busy.send_close(1001);
  BOOST_TEST(drained.get());
}

BOOST_AUTO_TEST_CASE(what_runs_is_counted_and_bounded_as_elsewhere) {
  GatewayOptions options;
  options.streams_max = 1;
  Server server(options);
  server.models.allow(1);
  SocketClient first(server.port(), story), second(server.port(), story);
  first.send(R"({"prompt": "x"})");
  BOOST_TEST(first.message()["text"] == "H");
  second.send(R"({"prompt": "x"})");
  BOOST_TEST(second.message()["error"]["code"] == "rate_limit_exceeded");
  server.models.allow(100);
  BOOST_TEST(told(first, "stop") == "ello, world");
  HttpClient client(server.port());
  const std::string metrics = client.get("/metrics").body;
  BOOST_TEST(metrics.find("tessera_generated_tokens_total{model=\"story\"} 13\n") != std::string::npos);
  BOOST_TEST(metrics.find("tessera_time_to_first_token_seconds_count{model=\"story\"} 1\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(only_a_short_message_cancels) {
  BOOST_TEST(is_cancel(R"({"type": "cancel"})"));
  BOOST_TEST(!is_cancel(R"({"type": "generate"})"));
  BOOST_TEST(!is_cancel("cancel"));
  BOOST_TEST(!is_cancel(R"({"type": "cancel", "x": ")" + std::string(300, 'x') + "\"}"));
}

BOOST_AUTO_TEST_SUITE_END()
