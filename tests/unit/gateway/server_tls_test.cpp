// HTTPS: the same answers, clients that go are noticed all the same, and whoever does not shake hands is cut off.
#include <chrono>
#include <string>

#include <boost/test/unit_test.hpp>

#include "cluster/auth/certificates.hpp"
#include "cluster/auth/private_file.hpp"
#include "gateway/key_file.hpp"
#include "runtime/base/clock.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/gateway/server_fixture.hpp"
#include "tests/unit/gateway/tls_client.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;
using std::chrono::milliseconds;

namespace {

const std::string host = "g.gateway.tessera";

/// A gateway with a certificate of an authority of its own.
struct TlsServer {
  explicit TlsServer(GatewayOptions options = {}) {
    const auto now = SystemWallClock().now();
    const auto authority = CertificateAuthority::create("demo", now);
    BOOST_REQUIRE(static_cast<bool>(authority));
    authority_pem = authority->certificate_pem();
    const auto credentials = authority->issue({Role::gateway, "g"}, now);
    BOOST_REQUIRE(static_cast<bool>(credentials));
    options.tls_certificate = folder.file("c.pem");
    options.tls_key = folder.file("k.pem");
    BOOST_REQUIRE(static_cast<bool>(
        write_file_atomically(options.tls_certificate, credentials->certificate_pem, FileAccess::everyone)));
    BOOST_REQUIRE(static_cast<bool>(write_file_atomically(options.tls_key, credentials->key_pem, FileAccess::owner)));
    server = std::make_unique<Server>(options);
  }
  std::unique_ptr<TlsClient> connect() const {
    return std::make_unique<TlsClient>(server->port(), authority_pem, host);
  }

  const TemporaryFolder folder;
  std::string authority_pem;
  std::unique_ptr<Server> server;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_server_tls)

BOOST_AUTO_TEST_CASE(it_answers_over_tls_what_it_answers_without) {
  TlsServer tls;
  BOOST_TEST(tls.server->gateway->url().starts_with("https://127.0.0.1:"));
  const auto client = tls.connect();
  BOOST_TEST(std::string(client->version()) == "TLSv1.3");
  BOOST_TEST(client->get("/health/live").status == 200);
  BOOST_TEST(client->post(complete, hello).json()["choices"][0]["text"] == "Hello, world");
  const auto list = events(client->post(complete, hello_stream).body);
  BOOST_TEST(streamed_text(list) == "Hello, world");
  BOOST_TEST(list.back() == "[DONE]");
  BOOST_TEST(
      client->get("/api/v1/models/story").json()["message"]["endpoint"].get<std::string>().starts_with("https://"));
}

BOOST_AUTO_TEST_CASE(large_bodies_pass_in_both_directions) {
  TlsServer tls;
  tls.server->models.repeats = 100'000;
  const auto client = tls.connect();
  const std::string body =
      R"({"model": "story", "prompt": "x", "max_tokens": 64, "user": ")" + std::string(1'000'000, 'u') + "\"}";
  BOOST_TEST(client->post(complete, body).json()["choices"][0]["text"].get<std::string>().size() == 1'200'000u);
}

BOOST_AUTO_TEST_CASE(a_client_that_goes_ends_its_stream_whether_it_streams_or_not) {
  TlsServer tls;
  tls.server->models.allow(2);
  for (const std::string& body : {hello, hello_stream}) {
    auto client = tls.connect();
    client->send(post_bytes(complete, body));
    BOOST_TEST(tls.server->models.wait_running(1));
    if (body == hello_stream) client->read_until("He");
    client->close();
    BOOST_TEST(tls.server->models.wait_running(0));
  }
}

BOOST_AUTO_TEST_CASE(a_client_that_takes_nothing_loses_its_connection_and_its_stream) {
  GatewayOptions options;
  options.write_timeout = milliseconds(300);
  TlsServer tls(options);
  tls.server->models.repeats = 2'000'000;
  const auto client = tls.connect();
  client->send(post_bytes(complete, hello));
  BOOST_TEST(tls.server->models.wait_running(1));
  BOOST_TEST(tls.server->models.wait_running(0));
}

BOOST_AUTO_TEST_CASE(whoever_does_not_shake_hands_in_time_or_at_all_is_cut_off) {
  GatewayOptions options;
  options.header_timeout = milliseconds(200);
  options.connections_max = 3;
  TlsServer tls(options);
  HttpClient silent(tls.server->port()), slow(tls.server->port()), plain(tls.server->port());
  slow.send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  plain.send("GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  BOOST_TEST(plain.closed());
  BOOST_TEST(silent.closed());
  BOOST_TEST(slow.closed());
  // Their places are free again.
  for (int i = 0; i < 10; ++i) BOOST_TEST(tls.connect()->get("/health/live").status == 200);
}

BOOST_AUTO_TEST_CASE(one_connection_too_many_is_closed) {
  GatewayOptions options;
  options.connections_max = 1;
  TlsServer tls(options);
  tls.server->models.allow(1);
  const auto client = tls.connect();
  client->send(post_bytes(complete, hello));
  BOOST_TEST(tls.server->models.wait_running(1));
  HttpClient another(tls.server->port());
  BOOST_TEST(another.closed());
  tls.server->models.allow(100);
  BOOST_TEST(client->read().status == 200);
  // Now it is idle, and makes room.
  BOOST_TEST(tls.connect()->get("/health/live").status == 200);
  BOOST_TEST(client->closed());
}

BOOST_AUTO_TEST_CASE(its_own_pages_ask_by_https) {
  TlsServer tls;
  const auto client = tls.connect();
  BOOST_TEST(client->get("/v1/models", "Origin: https://localhost\r\n").status == 200);
  BOOST_TEST(client->get("/v1/models", "Origin: http://localhost\r\n").status == 403);
}

BOOST_AUTO_TEST_CASE(at_the_end_what_runs_comes_to_its_end) {
  TlsServer tls;
  tls.server->models.allow(2);
  const auto busy = tls.connect();
  HttpClient shaking(tls.server->port());
  busy->send(post_bytes(complete, hello_stream));
  busy->read_until("He");
  BOOST_TEST(!tls.server->gateway->drain(milliseconds(100)));
  tls.server->models.allow(100);
  busy->read_until("[DONE]");
  BOOST_TEST(tls.server->models.wait_running(0));
}

BOOST_AUTO_TEST_CASE(with_keys_and_a_certificate_it_may_listen_for_other_machines) {
  GatewayOptions options;
  options.listen[0].host = "0.0.0.0";
  TemporaryFolder folder;
  options.key_file = folder.file("keys.json");
  const std::string secret = draw_key();
  BOOST_REQUIRE(static_cast<bool>(add_key(options.key_file, {"k", hash_of_key(secret), {}})));
  TlsServer tls(options);
  const auto client = tls.connect();
  BOOST_TEST(client->get("/v1/models").status == 401);
  BOOST_TEST(client->get("/v1/models", "Authorization: Bearer " + secret + "\r\n").status == 200);
}

BOOST_AUTO_TEST_CASE(a_certificate_that_does_not_do_is_refused_at_the_start) {
  FakeModels models;
  GatewayOptions options;
  options.tls_certificate = "absent.pem";
  BOOST_TEST((Gateway::start(options, models).error().code == ErrorCode::invalid_argument));
  options.tls_key = "absent.key";
  BOOST_TEST((Gateway::start(options, models).error().code == ErrorCode::not_found));
}

BOOST_AUTO_TEST_SUITE_END()
