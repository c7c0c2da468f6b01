// What the limits of an API key let through, by a clock that the test moves.
#include "gateway/key_usage.hpp"

#include <map>
#include <string>

#include <boost/test/unit_test.hpp>

using namespace tessera;
using namespace tessera::gateway;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

std::map<std::string, std::string> headers_of(KeyUsage& usage) {
  std::map<std::string, std::string> headers;
  for (const auto& [name, value] : usage.headers()) headers[name] = value;
  return headers;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_key_usage)

BOOST_AUTO_TEST_CASE(requests_at_once_are_bounded_and_end_with_their_permits) {
  const ManualClock clock;
  const auto usage = std::make_shared<KeyUsage>("ci", KeyLimits{2, {}, {}}, clock);
  auto one = usage->begin();
  {
    auto two = usage->begin();
    BOOST_TEST(static_cast<bool>(two));
    const auto three = usage->begin();
    BOOST_REQUIRE(!three);
    BOOST_TEST(three.error().status == 429);
    BOOST_TEST(*three.error().code == "rate_limit_exceeded");
    BOOST_TEST(*three.error().retry_after_s == 1u);
    BOOST_TEST(three.error().message.find("ci") != std::string::npos);
    BOOST_TEST(usage->running() == 2u);
  }
  BOOST_TEST(usage->running() == 1u);
  BOOST_TEST(static_cast<bool>(usage->begin()));
  BOOST_TEST(usage->headers().empty());
}

BOOST_AUTO_TEST_CASE(a_minutes_requests_are_there_at_first_and_flow_in_again) {
  ManualClock clock;
  const auto usage = std::make_shared<KeyUsage>("ci", KeyLimits{{}, 6, {}}, clock);
  for (int i = 0; i < 6; ++i) BOOST_TEST(static_cast<bool>(usage->begin()));
  auto headers = headers_of(*usage);
  BOOST_TEST(headers.at("x-ratelimit-limit-requests") == "6");
  BOOST_TEST(headers.at("x-ratelimit-remaining-requests") == "0");
  BOOST_TEST(headers.at("x-ratelimit-reset-requests") == "1m0s");
  BOOST_TEST(!headers.contains("x-ratelimit-limit-tokens"));
  const auto refused = usage->begin();
  BOOST_REQUIRE(!refused);
  BOOST_TEST(*refused.error().retry_after_s == 10u);
  clock.advance(milliseconds(9'500));
  const auto early = usage->begin();
  BOOST_REQUIRE(!early);
  BOOST_TEST(*early.error().retry_after_s == 1u);
  BOOST_TEST(early.error().message.find("500ms") != std::string::npos);
  clock.advance(milliseconds(500));
  BOOST_TEST(static_cast<bool>(usage->begin()));
  BOOST_TEST(!usage->begin());
  clock.advance(seconds(3600));
  BOOST_TEST(headers_of(*usage).at("x-ratelimit-remaining-requests") == "6");
  BOOST_TEST(headers_of(*usage).at("x-ratelimit-reset-requests") == "0ms");
}

BOOST_AUTO_TEST_CASE(tokens_beyond_a_minutes_are_owed) {
  ManualClock clock;
  const auto usage = std::make_shared<KeyUsage>("ci", KeyLimits{{}, {}, 60}, clock);
  BOOST_TEST(static_cast<bool>(usage->begin()));
  usage->spend_tokens(59);
  BOOST_TEST(static_cast<bool>(usage->begin()));
  usage->spend_tokens(31);
  BOOST_TEST(headers_of(*usage).at("x-ratelimit-remaining-tokens") == "0");
  const auto refused = usage->begin();
  BOOST_REQUIRE(!refused);
  BOOST_TEST(*refused.error().retry_after_s == 31u);
  clock.advance(seconds(31));
  BOOST_TEST(static_cast<bool>(usage->begin()));
  // What would have flowed into a full bucket is not there later.
  clock.advance(seconds(600));
  usage->spend_tokens(60);
  BOOST_TEST(!usage->begin());
}

BOOST_AUTO_TEST_CASE(what_is_refused_takes_nothing) {
  ManualClock clock;
  const auto usage = std::make_shared<KeyUsage>("ci", KeyLimits{1, 10, 10}, clock);
  auto held = usage->begin();
  for (int i = 0; i < 20; ++i) BOOST_TEST(!usage->begin());
  BOOST_TEST(headers_of(*usage).at("x-ratelimit-remaining-requests") == "9");
  usage->spend_tokens(1'000'000'000'000);
  const auto refused = usage->begin();
  BOOST_REQUIRE(!refused);
  BOOST_TEST(usage->running() == 1u);
  BOOST_TEST(headers_of(*usage).at("x-ratelimit-reset-tokens") == "24h0m0s");
}

BOOST_AUTO_TEST_CASE(durations_are_short_and_never_too_short) {
  const std::pair<int, const char*> cases[] = {{0, "0ms"},        {12, "12ms"},          {999, "999ms"},
                                               {1000, "1s"},      {1001, "2s"},          {59'999, "1m0s"},
                                               {360'000, "6m0s"}, {3'599'001, "1h0m0s"}, {3'661'000, "1h1m1s"}};
  for (const auto& [time, text] : cases) BOOST_TEST(to_duration(milliseconds(time)) == text);
}

BOOST_AUTO_TEST_SUITE_END()
