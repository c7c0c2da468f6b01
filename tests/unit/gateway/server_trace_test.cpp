// Where the time of a request went, for whoever asks.
#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/unit/gateway/server_fixture.hpp"
#include "tests/unit/gateway/socket_client.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

namespace {

const std::string traced = "X-Tessera-Trace: 1\r\n";

/// Of choices that say "Hello, world" and end.
void check(const Json& trace, std::size_t choices = 1) {
  BOOST_TEST(trace["total_ms"].get<double>() >= trace["first_token_ms"].get<double>());
  BOOST_TEST(trace["tokenization_ms"].get<double>() >= 0);
  BOOST_REQUIRE(trace["choices"].size() == choices);
  for (const Json& choice : trace["choices"])
    BOOST_TEST(choice.dump() ==
               R"({"queue_ms":250.0,"prefill_ms":500.0,"decode_ms":1500.0,"steps":13,"cached_tokens":1})");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_trace)

BOOST_AUTO_TEST_CASE(a_whole_answer_has_it_beside_the_rest) {
  Server server;
  HttpClient client(server.port());
  const Json answer = client.post(complete, hello, traced).json();
  BOOST_TEST(answer["choices"][0]["text"] == "Hello, world");
  check(answer["tessera_trace"]);
  check(client.post(complete, R"({"model": "story", "prompt": ["x", "y"], "max_tokens": 64})", traced)
            .json()["tessera_trace"],
        2);
  const Json predicted = client.post("/v1/models/plain:predict", R"({"instances": ["x"]})", traced).json();
  BOOST_TEST(predicted["predictions"].size() == 1u);
  check(predicted["tessera_trace"]);
}

BOOST_AUTO_TEST_CASE(a_stream_has_it_in_its_last_event_alone) {
  Server server;
  HttpClient client(server.port());
  for (const char* const options : {"", R"(, "stream_options": {"include_usage": true})"}) {
    const auto list = events(
        client
            .post(complete,
                  R"({"model": "story", "prompt": "x", "max_tokens": 64, "stream": true)" + std::string(options) + "}",
                  traced)
            .body);
    BOOST_REQUIRE(list.size() > 2u);
    BOOST_TEST(list.back() == "[DONE]");
    check(list[list.size() - 2]["tessera_trace"]);
    for (std::size_t i = 0; i + 2 < list.size(); ++i) BOOST_TEST(!list[i].contains("tessera_trace"));
    BOOST_TEST(streamed_text(list) == "Hello, world");
  }
}

BOOST_AUTO_TEST_CASE(a_stream_whose_end_says_nothing_has_an_event_for_it) {
  Server server;
  server.models.allow(server.models.says.size());  // the end token comes later
  HttpClient client(server.port());
  client.send(post_bytes("/v2/models/story/generate_stream", R"({"text_input": "x"})", traced));
  std::string text;
  while (text.find(R"("text_output":"d")") == std::string::npos && text.find("world") == std::string::npos)
    text += client.read_until("\n\n");
  BOOST_TEST(text.find("tessera_trace") == std::string::npos);
  server.models.allow(1000);
  const std::string rest = client.read_until("tessera_trace");
  BOOST_TEST(rest.find(R"("text_output":"",)") != std::string::npos, rest);
}

BOOST_AUTO_TEST_CASE(a_socket_that_was_opened_so_has_it_in_the_end) {
  Server server;
  SocketClient client(server.port(), "/v1/models/story/stream", traced);
  client.send(R"({"prompt": "x"})");
  Json message;
  do message = client.message();
  while (message["type"] == "text");
  BOOST_TEST(message["type"] == "end");
  check(message["tessera_trace"]);
}

BOOST_AUTO_TEST_CASE(whoever_does_not_ask_is_told_nothing) {
  Server server;
  HttpClient client(server.port());
  for (const char* const headers : {"", "X-Tessera-Trace: 0\r\n"}) {
    BOOST_TEST(!client.post(complete, hello, headers).json().contains("tessera_trace"));
    BOOST_TEST(client.post(complete, hello_stream, headers).body.find("tessera_trace") == std::string::npos);
  }
}

BOOST_AUTO_TEST_SUITE_END()
