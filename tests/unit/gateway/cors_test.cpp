// Pages of other sites: whose may ask, and what their browsers are told.
#include "gateway/cors.hpp"

#include <map>
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/key_file.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/gateway/server_fixture.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

namespace {

const std::string page = "Origin: https://app.example\r\n";
const std::string other_page = "Origin: https://evil.example\r\n";

HttpAnswer preflight(HttpClient& client, const std::string& headers) {
  client.send("OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Method: POST\r\n" +
              headers + "\r\n");
  return client.read();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_cors)

BOOST_AUTO_TEST_CASE(origins_are_written_as_browsers_send_them) {
  for (const char* const good : {"https://app.example", "http://localhost:3000", "http://[::1]:80", "https://a-b.c"})
    BOOST_TEST(static_cast<bool>(check_cors_origins({good}, false)), good);
  for (const char* const wrong : {"", "app.example", "https://", "https://app.example/", "https://App.example",
                                  "ftp://a", "https://a b", "https://a\r\nX: y", "null", "https://*.example"}) {
    BOOST_TEST((check_cors_origins({wrong}, true).error().code == ErrorCode::invalid_argument), wrong);
  }
  BOOST_TEST(static_cast<bool>(check_cors_origins({"*"}, true)));
  BOOST_TEST(check_cors_origins({"*"}, false).error().message.find("--keys") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_a_preflight_asks_for_is_repeated_only_where_it_is_a_list_of_headers) {
  const auto allowed = [](const std::string& asked) { return preflight_headers(asked)[1].second; };
  BOOST_TEST(allowed("content-type, X-Stainless-OS") == "content-type, X-Stainless-OS");
  for (const std::string& wrong : {std::string(), std::string("a\r\nb"), std::string("a: b"), std::string(3000, 'a')})
    BOOST_TEST(allowed(wrong) == "authorization, content-type, x-api-key, x-request-id");
}

BOOST_AUTO_TEST_CASE(nothing_is_allowed_unless_it_was_asked_for) {
  Server server;
  HttpClient client(server.port());
  BOOST_TEST(client.get("/v1/models", page).status == 403);
  const HttpAnswer refused = preflight(client, page);
  BOOST_TEST(refused.status == 403);
  BOOST_TEST(!refused.headers.contains("access-control-allow-origin"));
  const HttpAnswer plain = client.get("/v1/models");
  BOOST_TEST(!plain.headers.contains("access-control-allow-origin"));
  BOOST_TEST(!plain.headers.contains("vary"));
}

BOOST_AUTO_TEST_CASE(pages_of_a_named_site_may_ask_and_others_may_not) {
  GatewayOptions options;
  options.cors_origins = {"https://app.example", "http://localhost:3000"};
  Server server(options);
  HttpClient client(server.port());
  const HttpAnswer leave = preflight(client, page + "Access-Control-Request-Headers: content-type,authorization\r\n");
  BOOST_TEST(leave.status == 204);
  BOOST_TEST(leave.body.empty());
  BOOST_TEST(leave.headers.at("access-control-allow-origin") == "https://app.example");
  BOOST_TEST(leave.headers.at("access-control-allow-headers") == "content-type,authorization");
  BOOST_TEST(leave.headers.at("access-control-allow-methods").find("POST") != std::string::npos);
  BOOST_TEST(leave.headers.at("vary") == "Origin");
  const HttpAnswer whole = client.post(complete, hello, page);
  BOOST_TEST(whole.status == 200);
  BOOST_TEST(whole.headers.at("access-control-allow-origin") == "https://app.example");
  BOOST_TEST(whole.headers.at("access-control-expose-headers").find("x-request-id") != std::string::npos);
  BOOST_TEST(client.post(complete, hello_stream, page).headers.contains("access-control-allow-origin"));
  // Errors can be read as well.
  BOOST_TEST(client.post(complete, "{}", page).headers.contains("access-control-allow-origin"));
  const HttpAnswer refused = client.post(complete, hello, other_page);
  BOOST_TEST(refused.status == 403);
  BOOST_TEST(!refused.headers.contains("access-control-allow-origin"));
  BOOST_TEST(refused.headers.at("vary") == "Origin");
  BOOST_TEST(preflight(client, other_page).status == 403);
  // By whatever page: the browser must not have been led here by another name.
  client.send("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n" + page + "\r\n");
  BOOST_TEST(client.read().status == 421);
}

BOOST_AUTO_TEST_CASE(with_keys_any_page_may_ask_that_has_one) {
  const TemporaryFolder folder;
  GatewayOptions options;
  options.key_file = folder.file("keys.json");
  options.cors_origins = {"*"};
  const std::string secret = draw_key();
  ApiKey key{"k", hash_of_key(secret), {}};
  key.limits.requests_per_minute = 10;
  BOOST_REQUIRE(static_cast<bool>(add_key(options.key_file, key)));
  Server server(options);
  HttpClient client(server.port());
  BOOST_TEST(preflight(client, other_page).headers.at("access-control-allow-origin") == "*");
  const HttpAnswer answer = client.get("/v1/models", other_page + "Authorization: Bearer " + secret + "\r\n");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(answer.headers.at("access-control-allow-origin") == "*");
  BOOST_TEST(answer.headers.at("x-ratelimit-remaining-requests") == "9");
  const HttpAnswer refused = client.get("/v1/models", other_page);
  BOOST_TEST(refused.status == 401);
  BOOST_TEST(refused.headers.at("access-control-allow-origin") == "*");
  // Without a page there is nothing to give leave for.
  client.send("OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n");
  BOOST_TEST(client.read().status == 401);
}

BOOST_AUTO_TEST_SUITE_END()
