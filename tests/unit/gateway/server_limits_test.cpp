// The server's bounds, over sockets: limits, clients that go or are slow, who may ask, the end.
#include <chrono>
#include <future>
#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/unit/gateway/server_fixture.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;
using std::chrono::milliseconds;

BOOST_AUTO_TEST_SUITE(gateway_server_limits)

BOOST_AUTO_TEST_CASE(a_client_that_goes_ends_its_stream_whether_it_streams_or_not) {
  Server server;
  server.models.allow(2);
  for (const std::string& body : {hello, hello_stream}) {
    auto client = std::make_unique<HttpClient>(server.port());
    client->send(post_bytes(complete, body));
    BOOST_TEST(server.models.wait_running(1));
    if (body == hello_stream) client->read_until("He");
    client.reset();
    BOOST_TEST(server.models.wait_running(0));
  }
  BOOST_TEST(server.gateway->streams() == 0u);
}

BOOST_AUTO_TEST_CASE(too_many_streams_are_refused_until_some_end) {
  GatewayOptions options;
  options.streams_max = 2;
  Server server(options);
  server.models.allow(1);
  HttpClient busy(server.port()), client(server.port());
  busy.send(post_bytes(complete, R"({"model": "story", "prompt": "x", "n": 2})"));
  BOOST_TEST(server.models.wait_running(2));
  const HttpAnswer refused = client.post(complete, hello);
  BOOST_TEST(refused.status == 429);
  BOOST_TEST(refused.headers.contains("retry-after"));
  BOOST_TEST(client.post(complete, R"({"model": "story", "prompt": "x", "n": 3})").status == 400);
  server.models.allow(100);
  BOOST_TEST(busy.read().status == 200);
  BOOST_TEST(client.post(complete, hello).status == 200);
}

BOOST_AUTO_TEST_CASE(a_body_that_is_too_large_is_refused_whether_its_length_is_told_or_not) {
  GatewayOptions options;
  options.body_bytes_max = 1000;
  Server server(options);
  HttpClient told(server.port());
  BOOST_TEST(told.post(complete, std::string(1001, ' ')).status == 413);
  HttpClient untold(server.port());
  untold.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" +
              std::string(0x800, ' ') + "\r\n");
  const HttpAnswer answer = untold.read();
  BOOST_TEST(answer.status == 413);
  BOOST_TEST(error_code(answer) == "request_too_large");
}

BOOST_AUTO_TEST_CASE(a_head_that_is_too_large_is_refused) {
  GatewayOptions options;
  options.header_bytes_max = 2000;
  Server server(options);
  HttpClient client(server.port());
  client.send("GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Long: " + std::string(3000, 'a') + "\r\n\r\n");
  BOOST_TEST(client.read().status == 431);
  HttpClient endless(server.port());
  endless.send("GET /health/live HTTP/1.1\r\nX-Long: " + std::string(1'000'000, 'a'));
  BOOST_TEST(endless.closed());
}

BOOST_AUTO_TEST_CASE(who_sends_slowly_or_takes_nothing_is_cut_off) {
  GatewayOptions options;
  options.header_timeout = milliseconds(200);
  options.body_timeout = milliseconds(200);
  options.idle_timeout = milliseconds(200);
  Server server(options);
  HttpClient head(server.port());
  head.send("GET /health/live HTTP/1.1\r\nHost: loc");
  BOOST_TEST(head.closed());
  HttpClient body(server.port());
  body.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
  BOOST_TEST(body.read().status == 408);
  HttpClient idle(server.port());
  BOOST_TEST(idle.get("/health/live").status == 200);
  BOOST_TEST(idle.closed());
}

BOOST_AUTO_TEST_CASE(a_client_that_takes_nothing_loses_its_connection_and_its_stream) {
  GatewayOptions options;
  options.write_timeout = milliseconds(300);
  Server server(options);
  server.models.repeats = 2'000'000;  // more than the server's side of a connection holds
  HttpClient client(server.port(), 4096);
  client.send(post_bytes(complete, hello));
  BOOST_TEST(server.models.wait_running(1));
  BOOST_TEST(server.models.wait_running(0));
}

BOOST_AUTO_TEST_CASE(too_many_connections_are_told_so) {
  GatewayOptions options;
  options.connections_max = 2;
  Server server(options);
  server.models.allow(1);
  HttpClient one(server.port()), two(server.port());
  one.send(post_bytes(complete, hello));
  two.send(post_bytes(complete, hello));
  BOOST_TEST(server.models.wait_running(2));
  HttpClient three(server.port());
  const HttpAnswer refused = three.read();
  BOOST_TEST(refused.status == 503);
  BOOST_TEST(error_code(refused) == "connection_limit");
  one.close();
  for (int attempt = 0;; ++attempt) {
    HttpClient again(server.port());
    const int status = again.get("/health/live").status;
    if (status == 200) break;
    BOOST_REQUIRE(attempt < 1000);
  }
}

BOOST_AUTO_TEST_CASE(an_idle_connection_makes_room_and_a_working_one_does_not) {
  GatewayOptions options;
  options.connections_max = 3;
  Server server(options);
  server.models.allow(1);
  HttpClient busy(server.port());
  busy.send(post_bytes(complete, hello));
  BOOST_TEST(server.models.wait_running(1));
  HttpClient silent(server.port()), served(server.port());
  BOOST_TEST(served.get("/health/live").status == 200);
  // The places are taken; each newcomer is served, and whoever was idle longest goes.
  HttpClient next(server.port());
  BOOST_TEST(next.get("/health/live").status == 200);
  BOOST_TEST(silent.closed());
  HttpClient last(server.port());
  BOOST_TEST(last.get("/health/live").status == 200);
  BOOST_TEST(served.closed());
  // Hundreds come and go without a word.
  for (int i = 0; i < 300; ++i) HttpClient(server.port()).send("G");
  HttpClient after(server.port());
  BOOST_TEST(after.get("/metrics").body.find("tessera_http_connections_turned_away_total 0\n") == std::string::npos);
  server.models.allow(100);
  BOOST_TEST(busy.read().status == 200);
}

BOOST_AUTO_TEST_CASE(what_is_no_http_is_answered_and_closed) {
  Server server;
  HttpClient client(server.port());
  client.send("\x16\x03\x01 hello\r\n\r\n");
  const HttpAnswer answer = client.read();
  BOOST_TEST(answer.status >= 400);
  error_code(answer);
  BOOST_TEST(client.closed());
}

BOOST_AUTO_TEST_CASE(pages_of_other_sites_are_refused) {
  Server server;
  HttpClient client(server.port());
  BOOST_TEST(client.post(complete, hello, "Origin: https://evil.example\r\n").status == 403);
  client.send("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  BOOST_TEST(client.read().status == 421);
  BOOST_TEST(server.models.started.empty());
}

BOOST_AUTO_TEST_CASE(at_the_end_what_runs_comes_to_its_end_and_nothing_new_begins) {
  Server server;
  server.models.allow(2);
  HttpClient busy(server.port()), idle(server.port());
  BOOST_TEST(idle.get("/health/live").status == 200);
  busy.send(post_bytes(complete, hello_stream));
  busy.read_until("He");
  auto drained = std::async(std::launch::async, [&] { return server.gateway->drain(std::chrono::seconds(20)); });
  BOOST_TEST(idle.closed());
  server.models.allow(100);
  busy.read_until("[DONE]");
  BOOST_TEST(drained.get());
}

BOOST_AUTO_TEST_CASE(what_does_not_end_in_time_is_cut_off) {
  Server server;
  server.models.allow(2);
  HttpClient client(server.port());
  client.send(post_bytes(complete, hello_stream));
  client.read_until("He");
  BOOST_TEST(!server.gateway->drain(milliseconds(100)));
  server.gateway.reset();
  BOOST_TEST(server.models.running() == 0u);
  BOOST_TEST(client.closed());
}

BOOST_AUTO_TEST_CASE(it_listens_for_this_machine_only_and_says_when_a_port_is_taken) {
  FakeModels models;
  for (const char* const host : {"0.0.0.0", "10.0.0.1", "::", "example.com", ""}) {
    GatewayOptions options;
    options.listen[0].host = host;
    const auto started = Gateway::start(options, models);
    BOOST_REQUIRE_MESSAGE(!started, host);
    BOOST_TEST((started.error().code == ErrorCode::invalid_argument));
  }
  Server server;
  GatewayOptions options;
  options.listen[0].port = server.port();
  const auto taken = Gateway::start(options, models);
  BOOST_REQUIRE(!taken);
  BOOST_TEST((taken.error().code == ErrorCode::unavailable));
  BOOST_TEST(taken.error().message.find("--port") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(several_loops_share_one_port) {
  GatewayOptions options;
  options.http_threads = 3;
  Server server(options);
  for (int i = 0; i < 30; ++i) {
    HttpClient client(server.port());
    BOOST_TEST(client.post(complete, hello).status == 200);
  }
}

BOOST_AUTO_TEST_SUITE_END()
