// The AMP dialects: how objects of any fields become prompts, and what each route answers.
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/amp_request.hpp"
#include "tests/unit/gateway/server_fixture.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

namespace {

PromptRow input(const std::string& json) {
  auto row = read_input(Json::parse(json));
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(row), json << ": " << row.error().message);
  return *std::move(row);
}

/// The prompt of the only stream so far.
std::string prompt_of(const Server& server) {
  BOOST_REQUIRE(server.models.started.size() == 1u);
  return byte_tokenizer()->decode(server.models.started[0].prompt);
}

void check_envelope(const HttpAnswer& answer, int code) {
  const Json json = answer.json();
  BOOST_TEST(answer.status == code);
  BOOST_TEST(json["code"] == code);
  BOOST_TEST(json.size() == 2u);
  BOOST_TEST((json["message"].is_string() && !json["message"].get<std::string>().empty()));
}

const std::string hello_json = R"({"text":"Hello, world","finish_reason":"stop","tokens":13})";

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_amp)

BOOST_AUTO_TEST_CASE(an_input_has_a_priority_and_the_time_from_the_arrival_of_its_request) {
  const PromptRow row = input(R"({"text": "x", "priority": 4, "timeout": 0.25})");
  BOOST_TEST(row.parameters.priority == 4);
  BOOST_TEST(row.parameters.timeout.count() == 250);
  BOOST_TEST(input(R"({"text": "x", "timeout": 0})").parameters.timeout.count() == 0);
  BOOST_TEST(!read_input(Json::parse(R"({"text": "x", "priority": 1001})")));
  BOOST_TEST(!read_input(Json::parse(R"({"text": "x", "timeout": -1})")));
  Server server;
  HttpClient client(server.port());
  BOOST_TEST(client.post("/predict", R"({"text": "Hi", "priority": 4, "timeout": 3600})").status == 400);  // 5 models
  BOOST_TEST(
      client.post("/api/v1/models/story", R"({"input": {"text": "Hi", "priority": 4, "timeout": 3600}})").status ==
      200);
  BOOST_REQUIRE(server.models.started.size() == 1u);
  BOOST_TEST(server.models.started[0].priority == 4);
  BOOST_TEST((server.models.started[0].timeout > std::chrono::seconds(0)));
  BOOST_TEST((server.models.started[0].timeout <= std::chrono::seconds(3600)));
}

BOOST_AUTO_TEST_CASE(an_input_is_said_continued_or_a_conversation) {
  const PromptRow text = input(R"({"text": "How are you?", "max_tokens": 5, "temperature": 0})");
  BOOST_TEST(text.text == "How are you?");
  BOOST_TEST(text.is_said);
  BOOST_TEST(*text.parameters.tokens_max == 5u);
  BOOST_TEST(!input(R"({"prompt": "Once"})").is_said);
  BOOST_TEST(input(R"({"messages": [{"role": "user", "content": "Hi"}]})").messages.size() == 1u);
  const PromptRow other = input(R"({"userId": 12345, "tags": ["a"]})");
  BOOST_TEST(other.text == R"({"userId":12345,"tags":["a"]})");
  BOOST_TEST(other.is_said);
  BOOST_TEST(*other.parameters.tokens_max == 256u);
  BOOST_TEST(input("\"Hello\"").text == "Hello");
  BOOST_TEST(input("[1, 2]").text == "[1,2]");
}

BOOST_AUTO_TEST_CASE(beside_a_known_key_nothing_is_ignored) {
  for (const char* const json :
       {R"({"text": "a", "prompt": "b"})", R"({"text": "a", "tone": "kind"})", R"({"text": 5})", R"({"text": null})",
        R"({"messages": []})", R"({"messages": [{"role": "pirate", "content": "a"}]})",
        R"({"text": "a", "max_tokens": 0})", R"({"prompt": "a", "temperature": 9})"}) {
    const auto row = read_input(Json::parse(json));
    BOOST_REQUIRE_MESSAGE(!row, json);
    BOOST_TEST(row.error().status == 400);
  }
}

BOOST_AUTO_TEST_CASE(a_prediction_takes_a_text_of_json_and_answers_in_an_envelope) {
  Server server;
  HttpClient client(server.port());
  const HttpAnswer answer = client.post("/api/v1/predictions", R"({"model": "plain", "input": "{\"userId\": 12345}"})");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(answer.body == "{\"code\":200,\"message\":" + hello_json + "}");
  BOOST_TEST(prompt_of(server) == R"({"userId":12345})");
  BOOST_TEST(client.post("/api/v1/predictions", R"({"model": "plain", "input": {"text": "x", "max_tokens": 5}})")
                 .json()["message"]["text"] == "Hello");
}

BOOST_AUTO_TEST_CASE(what_is_said_goes_through_the_chat_template) {
  Server server;
  HttpClient client(server.port());
  BOOST_TEST(client.post("/api/v1/predictions", R"({"model": "story", "input": "{\"text\": \"Hi\"}"})").status == 200);
  BOOST_TEST(prompt_of(server) == "<user>Hi\n<assistant>");
}

BOOST_AUTO_TEST_CASE(failures_of_predictions_are_envelopes_with_the_status_as_code) {
  Server server;
  HttpClient client(server.port());
  const std::string path = "/api/v1/predictions";
  check_envelope(client.post(path, R"({"model": "nobody", "input": "{}"})"), 404);
  for (const char* const body :
       {"{", "[]", R"({"input": "{}"})", R"({"model": "story"})", R"({"model": 5, "input": "{}"})",
        R"({"model": "story", "input": "no json"})", R"({"model": "story", "input": "{}", "more": 1})",
        R"({"model": "", "input": "{}"})", R"({"model": "bare", "input": "{}"})"}) {
    check_envelope(client.post(path, body), 400);
  }
  const std::string deep = "{\\\"a\\\":" + std::string(100, '[') + std::string(100, ']') + "}";
  check_envelope(client.post(path, R"({"model": "story", "input": ")" + deep + "\"}"), 400);
  check_envelope(client.get(path), 405);
  check_envelope(client.get("/api/v1/nothing"), 404);
  BOOST_TEST(server.models.started.empty());
}

BOOST_AUTO_TEST_CASE(models_are_listed_with_their_details) {
  Server server;
  HttpClient client(server.port());
  const Json json = client.get("/api/v1/models").json();
  BOOST_TEST(json["code"] == 200);
  BOOST_TEST(json["message"].size() == 5u);
  BOOST_TEST(json["message"][0].dump() ==
             R"({"name":"story","version":"1","state":"serving","endpoint":"http://localhost/api/v1/models/story",)"
             R"("content_id":"0123456789abcdef0123","profile":"cpu-1","created":1700000000,"max_model_len":64})");
  server.models.list_fails = Error{ErrorCode::unavailable, "the coordinator is away"};
  check_envelope(client.get("/api/v1/models"), 503);
}

BOOST_AUTO_TEST_CASE(a_deployment_that_is_there_is_told_where_and_its_address_answers) {
  Server server;
  HttpClient client(server.port());
  const HttpAnswer answer = client.post("/api/v1/models", R"({"model": "with/slash"})");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(answer.body == R"({"code":200,"message":{"endpoint":"http://localhost/api/v1/models/with%2Fslash"}})");
  BOOST_TEST(server.models.started.empty());
  BOOST_TEST(client.get("/api/v1/models/with%2Fslash").json()["message"]["name"] == "with/slash");
  BOOST_TEST(client.post("/api/v1/models/with%2Fslash", R"({"input": {"text": "x"}})").json()["message"]["text"] ==
             "Hello, world");
  check_envelope(client.post("/api/v1/models/story", R"({"model": "plain", "input": "{}"})"), 400);
  check_envelope(client.get("/api/v1/models/nobody"), 404);
}

BOOST_AUTO_TEST_CASE(a_deployment_is_tried_with_an_input) {
  Server server;
  HttpClient client(server.port());
  const std::string body = R"({"model": "plain", "input": "{\"userId\": 12345}"})";
  BOOST_TEST(client.post("/api/v1/models", body).body ==
             R"({"code":200,"message":{"endpoint":"http://localhost/api/v1/models/plain"}})");
  BOOST_TEST(prompt_of(server) == R"({"userId":12345})");
  server.models.allow(0);
  server.models.fail_after_allowed({client::ErrorCode::unavailable, "no worker"});
  check_envelope(client.post("/api/v1/models", body), 503);
}

BOOST_AUTO_TEST_CASE(a_deployment_that_is_not_there_is_an_honest_failure) {
  Server server;
  HttpClient client(server.port());
  check_envelope(client.post("/api/v1/models", R"({"model": "nobody"})"), 501);
  check_envelope(client.post("/api/v1/models", R"({"model": "story", "source": "/models/story.h5"})"), 501);
  check_envelope(client.post("/api/v1/models", R"({"source": "/models/story.h5"})"), 400);
  check_envelope(client.post("/api/v1/models", R"({"model": "story", "input": "no json"})"), 400);
  server.models.serves = false;
  check_envelope(client.post("/api/v1/models", R"({"model": "story"})"), 503);
}

BOOST_AUTO_TEST_CASE(a_request_that_names_no_model_takes_the_default_one) {
  GatewayOptions options;
  options.default_model = "plain";
  Server server(options);
  HttpClient client(server.port());
  const HttpAnswer answer = client.post("/predict", R"({"text": "How are you?"})");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(answer.body == "{\"predictions\":[" + hello_json + "]}");
  BOOST_TEST(prompt_of(server) == "How are you?");
}

BOOST_AUTO_TEST_CASE(without_a_default_model_it_must_be_the_only_one) {
  Server server;
  HttpClient client(server.port());
  const HttpAnswer answer = client.post("/predict", R"({"text": "x"})");
  BOOST_TEST(answer.status == 400);
  BOOST_TEST(answer.json()["error"].get<std::string>().find("--default-model") != std::string::npos);
  GatewayOptions options;
  options.default_model = "nobody";
  Server other(options);
  HttpClient second(other.port());
  BOOST_TEST(second.post("/predict", R"({"text": "x"})").status == 404);
}

BOOST_AUTO_TEST_CASE(models_have_ids_and_predictions_targets) {
  Server server;
  HttpClient client(server.port());
  const Json list = client.get("/api/model").json();
  BOOST_TEST(list.size() == 5u);
  BOOST_TEST(list[0].dump() == R"({"id":"story","name":"story","version":"1","state":"serving"})");
  const HttpAnswer answer =
      client.post("/api/predict", R"({"model_id": "plain", "input_parameters": {"a": 1}, "output_target": "b"})");
  BOOST_TEST(answer.body == R"({"prediction":"Hello, world"})");
  BOOST_TEST(prompt_of(server) == R"({"input_parameters":{"a":1},"output_target":"b"})");
  for (const char* const body :
       {R"({"input_parameters": {}})", R"({"model_id": "plain"})", R"({"model_id": "plain", "input_parameters": [1]})",
        R"({"model_id": "plain", "input_parameters": {"text": "a"}, "output_target": "price"})",
        R"({"model_id": "plain", "input_parameters": {}, "more": 1})"}) {
    const HttpAnswer refused = client.post("/api/predict", body);
    BOOST_TEST(refused.status == 400);
    BOOST_TEST(refused.json()["error"].is_string());
  }
  BOOST_TEST(client.post("/api/predict", R"({"model_id": "nobody", "input_parameters": {}})").status == 404);
}

BOOST_AUTO_TEST_CASE(an_input_for_the_output_text_is_taken_as_it_is) {
  Server server;
  HttpClient client(server.port());
  const std::string rest = R"(, "input_parameters": {"text": "Hi", "max_tokens": 5}, "output_target": "text"})";
  BOOST_TEST(client.post("/api/predict", R"({"model_id": "plain")" + rest).body == R"({"prediction":"Hello"})");
  BOOST_TEST(prompt_of(server) == "Hi");
}

BOOST_AUTO_TEST_SUITE_END()
