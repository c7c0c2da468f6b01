// Which path means what, and who may ask.
#include "gateway/router.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/origin.hpp"

using namespace tessera::gateway;

BOOST_AUTO_TEST_SUITE(gateway_router)

BOOST_AUTO_TEST_CASE(a_path_is_split_before_it_is_decoded) {
  const auto segments = split_path("/v1/models/a%2Fb");
  BOOST_TEST(segments.size() == 3u);
  BOOST_TEST(segments[2] == "a%2Fb");
  BOOST_TEST(*decode_percent(segments[2]) == "a/b");
  BOOST_TEST(split_path("/").size() == 1u);
  BOOST_TEST(split_path("/v1/models/").size() == 3u);
  BOOST_TEST(split_path("//").size() == 2u);
}

BOOST_AUTO_TEST_CASE(what_is_no_percent_encoding_is_no_path) {
  BOOST_TEST(*decode_percent("%c3%A9") == "é");
  for (const char* const wrong : {"%", "%4", "%zz", "a%", "%00"}) BOOST_TEST(!decode_percent(wrong).has_value());
}

BOOST_AUTO_TEST_CASE(programs_of_this_machine_may_ask_and_pages_of_other_sites_may_not) {
  for (const char* const host :
       {"", "localhost", "localhost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "[::1]", "ui.localhost:8080"}) {
    BOOST_TEST(!check_origin(host, "", "127.0.0.1").has_value(), host);
  }
  for (const char* const host :
       {"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:80"}) {
    const auto error = check_origin(host, "", "127.0.0.1");
    BOOST_REQUIRE_MESSAGE(error.has_value(), host);
    BOOST_TEST(error->status == 421);
  }
  BOOST_TEST(!check_origin("localhost:8080", "http://localhost:8080", "127.0.0.1").has_value());
  for (const char* const origin : {"https://evil.example", "null", "http://localhost:9090", "http://localhost"}) {
    const auto error = check_origin("localhost:8080", origin, "127.0.0.1");
    BOOST_REQUIRE_MESSAGE(error.has_value(), origin);
    BOOST_TEST(error->status == 403);
  }
}

BOOST_AUTO_TEST_SUITE_END()
