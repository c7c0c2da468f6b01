// Where a gateway may listen, and which routes it offers there.
#include "gateway/listen.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/router.hpp"

using namespace tessera;
using namespace tessera::gateway;

namespace {

HttpRequestFacts asks(const std::string& method, const std::string& path) {
  HttpRequestFacts request;
  request.method = method;
  request.path = path;
  return request;
}

RouteSets sets(const std::string& text) {
  const auto parsed = RouteSets::parse(text);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(parsed), parsed.error().message);
  return *parsed;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_listen)

BOOST_AUTO_TEST_CASE(an_address_has_a_host_a_port_and_perhaps_sets_of_routes) {
  const auto plain = parse_listen("127.0.0.1:8080");
  BOOST_REQUIRE(static_cast<bool>(plain));
  BOOST_TEST(plain->host == "127.0.0.1");
  BOOST_TEST(plain->port == 8080);
  BOOST_TEST((plain->sets == RouteSets::all()));
  const auto bracketed = parse_listen("[::]:0=health,metrics");
  BOOST_REQUIRE(static_cast<bool>(bracketed));
  BOOST_TEST(bracketed->host == "::");
  BOOST_TEST(bracketed->port == 0);
  BOOST_TEST(to_text(bracketed->sets) == "health,metrics");
  BOOST_TEST(to_text(parse_listen("localhost:1=openai,all")->sets) == "all");
  const std::pair<const char*, const char*> cases[] = {
      {"", "no port"},
      {"8080", "no port"},
      {"127.0.0.1", "no port"},
      {"127.0.0.1:", "65535"},
      {"127.0.0.1:65536", "65535"},
      {"127.0.0.1:-1", "65535"},
      {"127.0.0.1:80x", "65535"},
      {":8080", "IP address"},
      {"example.com:80", "IP address"},
      {"::1:80", "brackets"},
      {"[::1:80", "brackets"},
      {"127.0.0.1:80=", "no set of routes ''"},
      {"127.0.0.1:80=open", "'open'"},
      {"127.0.0.1:80=health,", "no set of routes ''"},
  };
  for (const auto& [text, reason] : cases) {
    const auto wrong = parse_listen(text);
    BOOST_REQUIRE_MESSAGE(!wrong, text);
    BOOST_TEST((wrong.error().code == ErrorCode::invalid_argument));
    BOOST_TEST(wrong.error().message.find(reason) != std::string::npos, wrong.error().message);
  }
}

BOOST_AUTO_TEST_CASE(beyond_this_machine_it_takes_keys_and_encryption_or_leave_to_do_without) {
  for (const char* const host : {"0.0.0.0", "10.0.0.1", "::", "fe80::1"}) {
    GatewayOptions options;
    options.listen.push_back({host, 0});
    BOOST_TEST(check_listen(options).error().message.find("--keys") != std::string::npos, host);
    options.key_file = "keys.json";
    BOOST_TEST(check_listen(options).error().message.find("--insecure-http") != std::string::npos, host);
    options.insecure_http = true;
    BOOST_TEST(static_cast<bool>(check_listen(options)), host);
  }
  for (const char* const host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"}) {
    GatewayOptions options;
    options.listen[0].host = host;
    BOOST_TEST(static_cast<bool>(check_listen(options)), host);
  }
}

BOOST_AUTO_TEST_CASE(a_route_is_found_where_its_set_is_offered) {
  Router router;
  const Handler none = [](HttpCall&) -> kj::Promise<void> { return kj::READY_NOW; };
  router.begin_set(RouteSet::health);
  router.add("GET", "/health/live", none);
  router.begin_set(RouteSet::openai);
  router.add("GET", "/v1/models/{}", none);
  router.begin_set(RouteSet::tfserving);
  router.add("POST", "/v1/models/{}", none);
  const RouteMatch all = router.find(asks("POST", "/v1/models/a%2Fb"), RouteSets::all());
  BOOST_TEST((all.set == RouteSet::tfserving));
  BOOST_TEST(*all.route == 2u);
  BOOST_TEST(all.captured[0] == "a/b");
  BOOST_TEST((router.find(asks("HEAD", "/v1/models/a"), RouteSets::all()).set == RouteSet::openai));
  const RouteMatch some = router.find(asks("POST", "/v1/models/a"), sets("openai"));
  BOOST_TEST(!some.route.has_value());
  BOOST_TEST((some.methods == std::vector<std::string>{"GET"}));
  const RouteMatch absent = router.find(asks("GET", "/health/live"), sets("openai,tfserving"));
  BOOST_TEST(!absent.set.has_value());
  BOOST_TEST(absent.methods.empty());
  BOOST_TEST(absent.pattern == "other");
}

BOOST_AUTO_TEST_SUITE_END()
