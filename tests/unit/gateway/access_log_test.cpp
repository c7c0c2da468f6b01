// The access log: what its lines say and do not say, and that it goes on in a new file.
#include "gateway/access_log.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "gateway/key_file.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/gateway/server_fixture.hpp"
#include "tests/unit/gateway/socket_client.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

namespace {

std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream stream(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_access_log)

BOOST_AUTO_TEST_CASE(lines_are_appended_in_order) {
  const TemporaryFolder folder;
  const std::string file = folder.file("access");
  for (const char* const text : {"one", "two"}) {
    const auto log = AccessLog::open(file, {});
    BOOST_REQUIRE(static_cast<bool>(log));
    for (int i = 0; i < 100; ++i) (*log)->add(text + std::to_string(i));
  }
  const auto lines = lines_of(file);
  BOOST_REQUIRE(lines.size() == 200u);
  for (std::size_t i = 0; i < 200; ++i)
    BOOST_TEST(lines[i] == (i < 100 ? "one" + std::to_string(i) : "two" + std::to_string(i - 100)));
  BOOST_TEST((AccessLog::open(folder.file("absent/access"), {}).error().code == ErrorCode::io));
}

BOOST_AUTO_TEST_CASE(it_begins_a_new_file_when_it_is_told_to) {
  const TemporaryFolder folder;
  const std::string file = folder.file("access"), moved = folder.file("access.1");
  std::atomic<bool> reopen{false};
  {
    const auto log = AccessLog::open(file, [&] { return reopen.exchange(false); });
    BOOST_REQUIRE(static_cast<bool>(log));
    (*log)->add("before");
    while (lines_of(file).empty()) std::this_thread::yield();
    std::filesystem::rename(file, moved);
    (*log)->add("still");
    while (lines_of(moved).size() < 2) std::this_thread::yield();
    reopen = true;
    (*log)->add("after");
  }
  BOOST_TEST((lines_of(moved) == std::vector<std::string>{"before", "still"}));
  BOOST_TEST((lines_of(file) == std::vector<std::string>{"after"}));
}

BOOST_AUTO_TEST_CASE(a_line_tells_who_asked_what_and_how_it_ended_but_no_secret_and_no_text) {
  const TemporaryFolder folder;
  GatewayOptions options;
  options.access_log = folder.file("access");
  options.key_file = folder.file("keys.json");
  const std::string secret = draw_key(), wrong = draw_key();
  BOOST_REQUIRE(static_cast<bool>(add_key(options.key_file, {"ci", hash_of_key(secret), {}})));
  const std::string shown = "Authorization: Bearer " + secret + "\r\n";
  std::size_t bytes = 0;
  {
    Server server(options);
    HttpClient client(server.port());
    bytes =
        client.post(complete, R"({"model": "story", "prompt": "a secret prompt", "max_tokens": 5})", shown).body.size();
    client.post(complete + "?api_key=hidden", hello_stream, shown + "X-Request-Id: mine-1\r\n");
    client.get("/v1/models", "Authorization: Bearer " + wrong + "\r\n");
    client.get("/health/live");
    server.models.allow(2);
    HttpClient goes(server.port());
    goes.send(post_bytes(complete, hello_stream, shown));
    goes.read_until("He");
    goes.close();
    BOOST_TEST(server.models.wait_running(0));
  }
  const auto lines = lines_of(options.access_log);
  BOOST_REQUIRE(lines.size() == 5u);
  for (const std::string& line : lines) {
    for (const std::string& hidden : {secret, wrong, std::string("tsr_"), std::string("hidden"),
                                      std::string("secret prompt"), std::string("Hello")})
      BOOST_TEST(line.find(hidden) == std::string::npos, line);
    const Json json = Json::parse(line);
    BOOST_TEST(json["time"].get<std::string>().size() == 20u);
    BOOST_TEST(json["duration_ms"].get<double>() > 0);
    BOOST_TEST(!json["request_id"].get<std::string>().empty());
  }
  const Json whole = Json::parse(lines[0]), stream = Json::parse(lines[1]), refused = Json::parse(lines[2]),
             health = Json::parse(lines[3]), gone = Json::parse(lines[4]);
  BOOST_TEST(whole["method"] == "POST");
  BOOST_TEST(whole["path"] == complete);
  BOOST_TEST(whole["status"] == 200);
  BOOST_TEST(whole["bytes"] == bytes);
  BOOST_TEST(whole["key"] == "ci");
  BOOST_TEST(whole["model"] == "story");
  BOOST_TEST(whole["prompt_tokens"] == 16);
  BOOST_TEST(whole["completion_tokens"] == 5);
  BOOST_TEST(whole["end"] == "length");
  BOOST_TEST(stream["request_id"] == "mine-1");
  BOOST_TEST(stream["path"] == complete);
  BOOST_TEST(stream["end"] == "stop");
  BOOST_TEST(stream["completion_tokens"] == 13);
  BOOST_TEST(refused["status"] == 401);
  BOOST_TEST(!refused.contains("key"));
  BOOST_TEST(!refused.contains("model"));
  BOOST_TEST(health["path"] == "/health/live");
  BOOST_TEST(!health.contains("key"));
  BOOST_TEST(gone["end"] == "gone");
  BOOST_TEST(gone["status"] == 200);
  BOOST_TEST(gone["completion_tokens"] == 2);
}

BOOST_AUTO_TEST_CASE(a_web_socket_is_one_line_with_all_that_it_was_told) {
  const TemporaryFolder folder;
  GatewayOptions options;
  options.access_log = folder.file("access");
  {
    Server server(options);
    SocketClient client(server.port(), "/v1/models/story/stream");
    client.send(R"({"prompt": "x", "max_tokens": 5})");
    client.send(R"({"prompt": "x", "max_tokens": 2})");
    for (int ends = 0; ends < 2;) ends += client.message()["type"] == "end" ? 1 : 0;
    client.send_close(1000);
    BOOST_TEST(client.read().code() == 1000);
    BOOST_TEST(client.connection().closed());
  }
  const auto lines = lines_of(options.access_log);
  BOOST_REQUIRE(lines.size() == 1u);
  const Json line = Json::parse(lines[0]);
  BOOST_TEST(line["status"] == 101);
  BOOST_TEST(line["model"] == "story");
  BOOST_TEST(line["prompt_tokens"] == 4);
  BOOST_TEST(line["completion_tokens"] == 7);
  BOOST_TEST(line["end"] == "length");
}

BOOST_AUTO_TEST_SUITE_END()
