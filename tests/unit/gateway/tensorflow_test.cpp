// TF Serving's REST interface: what a predict may say, what is refused in which words, and what is answered.
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/tensorflow_request.hpp"
#include "tests/unit/gateway/server_fixture.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

namespace {

PredictRequest parsed(const std::string& body) {
  auto request = parse_predict(Json::parse(body));
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(request), body << ": " << request.error().message);
  return *std::move(request);
}

std::string refused(const std::string& body) {
  const auto request = parse_predict(Json::parse(body));
  BOOST_REQUIRE_MESSAGE(!request, body << " was accepted");
  BOOST_TEST(request.error().status == 400);
  return request.error().message;
}

/// Of an answer that is an error in TF Serving's shape.
std::string error_text(const HttpAnswer& answer) {
  const Json json = answer.json();
  BOOST_REQUIRE_MESSAGE(json.size() == 1 && json.contains("error") && json["error"].is_string(), answer.body);
  return json["error"].get<std::string>();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_tensorflow)

BOOST_AUTO_TEST_CASE(a_bare_string_is_an_instance_of_the_single_input) {
  const PredictRequest request = parsed(R"({"instances": ["Once", {"b64": "VGhlbg=="}], "surprise": 1})");
  BOOST_TEST(request.rows.size() == 2u);
  BOOST_TEST(!request.by_columns);
  BOOST_TEST(request.rows[0].text == "Once");
  BOOST_TEST(request.rows[1].text == "Then");
  BOOST_TEST(*request.rows[0].parameters.tokens_max == 256u);
  BOOST_TEST(request.rows[0].parameters.sampling.temperature == 1.0f);
  BOOST_TEST(!request.rows[0].is_said);
}

BOOST_AUTO_TEST_CASE(rows_have_parameters_of_their_own) {
  const PredictRequest request = parsed(R"({"signature_name": "serving_default", "instances": [
    {"text": "a", "max_tokens": 3, "temperature": 0, "top_p": 0.5, "top_k": 4, "min_p": 0.1, "seed": 7,
     "presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.5, "stop": ["x", {"b64": "eQ=="}], "priority": -3, "timeout": 1.5},
    {"text": "b", "max_tokens": 9, "temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0, "seed": 8,
     "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1, "stop": ["p", "q"], "priority": 0, "timeout": 0}]})");
  const GenerationFields& first = request.rows[0].parameters;
  BOOST_TEST(*first.tokens_max == 3u);
  BOOST_TEST(first.sampling.temperature == 0.0f);
  BOOST_TEST(first.sampling.top_k == 4u);
  BOOST_TEST(first.sampling.seed == 7u);
  BOOST_TEST(first.seed_given);
  BOOST_TEST(first.stop == (std::vector<std::string>{"x", "y"}), boost::test_tools::per_element());
  BOOST_TEST(first.priority == -3);
  BOOST_TEST(first.timeout.count() == 1500);
  BOOST_TEST(*request.rows[1].parameters.tokens_max == 9u);
  BOOST_TEST(request.rows[1].parameters.timeout.count() == 0);
}

BOOST_AUTO_TEST_CASE(columns_are_rows_of_equal_places) {
  PredictRequest request = parsed(R"({"inputs": {"text": ["a", "b"], "max_tokens": [1, 2]}})");
  BOOST_TEST(request.by_columns);
  BOOST_TEST(request.rows[1].text == "b");
  BOOST_TEST(*request.rows[1].parameters.tokens_max == 2u);
  request = parsed(R"({"inputs": ["a", {"b64": "Yg=="}]})");
  BOOST_TEST(request.rows[1].text == "b");
}

BOOST_AUTO_TEST_CASE(what_is_no_request_is_refused_in_the_words_of_the_protocol) {
  BOOST_TEST(refused("{}") == "Missing 'inputs' or 'instances' key");
  BOOST_TEST(refused(R"({"instances": ["a"], "inputs": ["a"]})").find("expecting only one of") != std::string::npos);
  BOOST_TEST(refused(R"({"instances": "a"})") == "Expecting 'instances' to be a list/array");
  BOOST_TEST(refused(R"({"instances": []})") == "No values in 'instances' array");
  BOOST_TEST(refused(R"({"instances": ["a", {"text": "b"}]})") ==
             "Expecting value/list but got object at item 1 of input list");
  BOOST_TEST(refused(R"({"instances": [{"text": "b"}, "a"]})") ==
             "Expecting object but got value/list at item 1 of input list");
  BOOST_TEST(refused(R"({"instances": [{"text": "a", "tone": 1}]})") ==
             "Failed to process element: 0 key: tone of 'instances' list. Error: JSON object: does not have named "
             "input: tone");
  BOOST_TEST(refused(R"({"instances": [{"text": "a", "seed": 1}, {"text": "b"}]})") ==
             "Failed to process element: 1 of 'instances' list. JSON object: {\"text\":\"b\"} keys must be equal to: "
             "seed,text");
  BOOST_TEST(refused(R"({"instances": [{"seed": 1}]})").find("keys must be equal to: seed,text") != std::string::npos);
  BOOST_TEST(refused(R"({"signature_name": "other", "instances": ["a"]})") ==
             "Serving signature key \"other\" not found.");
  BOOST_TEST(refused(R"({"inputs": {"seed": [1]}})") == "Missing named input: text in 'inputs' object.");
}

BOOST_AUTO_TEST_CASE(values_of_the_wrong_type_shape_or_range_are_refused) {
  for (const char* const body : {R"({"instances": [5]})",
                                 R"({"instances": [["a"]]})",
                                 R"({"instances": [null]})",
                                 R"({"instances": [{"b64": 5}]})",
                                 R"({"instances": [{"b64": "?"}]})",
                                 R"({"instances": [{"text": "a", "temperature": "hot"}]})",
                                 R"({"instances": [{"text": "a", "temperature": 3}]})",
                                 R"({"instances": [{"text": "a", "max_tokens": 0}]})",
                                 R"({"instances": [{"text": "a", "max_tokens": 1.5}]})",
                                 R"({"instances": [{"text": "a", "seed": null}]})",
                                 R"({"instances": [{"text": "a", "ignore_eos": true}]})",
                                 R"({"instances": [{"text": "a", "stop": [1]}]})",
                                 R"({"instances": [{"text": "a", "stop": ["x"]}, {"text": "b", "stop": ["x", "y"]}]})",
                                 R"({"instances": [{"text": "a", "stop": ["x"]}, {"text": "b", "stop": "x"}]})",
                                 R"({"signature_name": 5, "instances": ["a"]})",
                                 R"({"inputs": "a"})",
                                 R"({"inputs": []})",
                                 R"({"inputs": {}})",
                                 R"({"inputs": {"text": ["a"], "max_tokens": [1, 2]}})",
                                 R"({"inputs": {"text": ["a"], "max_tokens": 1}})",
                                 R"({"inputs": {"text": ["a"], "tone": [1]}})",
                                 R"({"inputs": {"text": [["a"]]}})",
                                 R"({"inputs": {"text": ["a", "b"], "stop": [["x"], ["y", "z"]]}})"}) {
    BOOST_TEST(!refused(body).empty());
  }
}

BOOST_AUTO_TEST_CASE(predictions_come_in_the_form_that_was_asked_in) {
  Server server;
  HttpClient client(server.port());
  const HttpAnswer rows = client.post("/v1/models/story:predict", R"({"instances": ["x", "y"]})");
  BOOST_TEST(rows.status == 200);
  BOOST_TEST(rows.body == R"({"predictions":[{"text":"Hello, world","finish_reason":"stop","tokens":13},)"
                          R"({"text":"Hello, world","finish_reason":"stop","tokens":13}]})");
  BOOST_TEST(rows.headers.at("x-tessera-seed") == "4711");
  const HttpAnswer columns =
      client.post("/v1/models/story/versions/1:PREDICT", R"({"inputs": {"text": ["x", "y"], "max_tokens": [5, 2]}})");
  BOOST_TEST(columns.body ==
             R"({"outputs":{"text":["Hello","He"],"finish_reason":["length","length"],"tokens":[5,2]}})");
  const HttpAnswer bytes = client.post(
      "/v1/models/story:predict",
      R"({"signature_name": "serving_bytes", "instances": [{"text_bytes": {"b64": "eA=="}, "max_tokens": 5}]})");
  BOOST_TEST(bytes.body ==
             R"({"predictions":[{"text_bytes":{"b64":"SGVsbG8="},"finish_reason":"length","tokens":5}]})");
  BOOST_TEST(client.post("/v1/models/with%2Fslash:predict", R"({"instances": ["x"]})").status == 200);
}

BOOST_AUTO_TEST_CASE(each_row_is_a_stream_with_its_text_and_seed) {
  Server server;
  HttpClient client(server.port());
  client.post("/v1/models/story:predict", R"({"instances": [{"text": "ab", "seed": 5}, {"text": "c", "seed": 6}]})");
  BOOST_REQUIRE(server.models.started.size() == 2u);
  BOOST_TEST(server.models.started[0].prompt == (std::vector<TokenId>{1, byte_token('a'), byte_token('b')}),
             boost::test_tools::per_element());
  BOOST_TEST(server.models.started[0].sampling.seed == 5u);
  BOOST_TEST(server.models.started[1].sampling.seed == 6u);
  BOOST_TEST(server.models.started[1].sampling.choice == 0u);
}

BOOST_AUTO_TEST_CASE(errors_have_the_status_and_the_shape_of_the_family) {
  Server server;
  HttpClient client(server.port());
  const std::string body = R"({"instances": ["x"]})";
  const HttpAnswer unknown = client.post("/v1/models/nobody:predict", body);
  BOOST_TEST(unknown.status == 404);
  BOOST_TEST(error_text(unknown) == "Servable not found for request: Latest(nobody)");
  const HttpAnswer version = client.post("/v1/models/story/versions/2:predict", body);
  BOOST_TEST(version.status == 404);
  BOOST_TEST(error_text(version) == "Servable not found for request: Specific(story, 2)");
  const HttpAnswer label = client.post("/v1/models/story/labels/stable:predict", body);
  BOOST_TEST(label.status == 400);
  BOOST_TEST(error_text(label) == "Unrecognized servable version label: stable");
  const HttpAnswer malformed = client.post("/v1/models/story/versions/1/labels/stable:predict", body);
  BOOST_TEST(malformed.status == 400);
  BOOST_TEST(error_text(malformed) == "Malformed request: POST /v1/models/story/versions/1/labels/stable:predict");
  BOOST_TEST(error_text(client.post("/v1/models/story:predict", "{")).find("JSON") != std::string::npos);
  BOOST_TEST(client.post("/v1/models/bare:predict", body).status == 400);
  const HttpAnswer row =
      client.post("/v1/models/story:predict", R"({"instances": ["x", ")" + std::string(100, 'a') + R"("]})");
  BOOST_TEST(row.status == 400);
  BOOST_TEST(error_text(row).starts_with("row 1: "));
}

BOOST_AUTO_TEST_CASE(more_rows_than_streams_are_refused) {
  GatewayOptions options;
  options.streams_max = 2;
  Server server(options);
  HttpClient client(server.port());
  BOOST_TEST(client.post("/v1/models/story:predict", R"({"instances": ["a", "b"]})").status == 200);
  const HttpAnswer many = client.post("/v1/models/story:predict", R"({"instances": ["a", "b", "c"]})");
  BOOST_TEST(many.status == 400);
  BOOST_TEST(error_text(many).find("at most 2") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_failure_of_a_row_is_the_answer) {
  Server server;
  server.models.allow(0);
  server.models.fail_after_allowed({client::ErrorCode::exhausted, "too many wait"});
  HttpClient client(server.port());
  const HttpAnswer answer = client.post("/v1/models/story:predict", R"({"instances": ["x", "y"]})");
  BOOST_TEST(answer.status == 429);
  BOOST_TEST(error_text(answer) == "too many wait");
  BOOST_TEST(answer.headers.at("retry-after") == "1");
}

BOOST_AUTO_TEST_CASE(a_language_model_neither_classifies_nor_regresses_and_says_so) {
  Server server;
  HttpClient client(server.port());
  for (const char* const method : {"classify", "regress"}) {
    const std::string path = std::string("/v1/models/story:") + method;
    const HttpAnswer answer = client.post(path, R"({"examples": [{"x": 1}]})");
    BOOST_TEST(answer.status == 400);
    BOOST_TEST(error_text(answer).find(std::string("method_name to be tensorflow/serving/") + method +
                                       ". Was: tensorflow/serving/predict") != std::string::npos);
    BOOST_TEST(error_text(client.post(path, "{}")).find("'examples'") != std::string::npos);
    BOOST_TEST(client.post(std::string("/v1/models/nobody:") + method, R"({"examples": [{}]})").status == 404);
  }
  BOOST_TEST(server.models.started.empty());
}

BOOST_AUTO_TEST_CASE(status_and_metadata_are_those_of_one_version) {
  Server server;
  HttpClient client(server.port());
  const std::string available =
      R"([{"version":"1","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}}])";
  const Json merged = client.get("/v1/models/story").json();
  BOOST_TEST(merged["model_version_status"].dump() == available);
  BOOST_TEST(merged["object"] == "model");
  BOOST_TEST(client.get("/v1/models/story/versions/1").body == "{\"model_version_status\":" + available + "}");
  BOOST_TEST(client.get("/v1/models/story/versions/3").status == 404);
  BOOST_TEST(client.get("/v1/models/story/labels/stable").status == 400);
  const Json metadata = client.get("/v1/models/story/metadata").json();
  BOOST_TEST(metadata["model_spec"].dump() == R"({"name":"story","signature_name":"","version":"1"})");
  const Json& signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
  BOOST_TEST(signature["method_name"] == "tensorflow/serving/predict");
  BOOST_TEST(
      signature["inputs"]["text"].dump() ==
      R"({"dtype":"DT_STRING","tensor_shape":{"dim":[{"size":"-1","name":""}],"unknown_rank":false},"name":"text:0"})");
  BOOST_TEST(signature["outputs"].size() == 3u);
  // Every input that may be left out has a default, but the two for which none stands for that.
  BOOST_TEST(signature["inputs"].size() == signature["defaults"].size() + 3);
  BOOST_TEST(signature["defaults"]["max_tokens"]["int_val"].dump() == "[256]");
  server.models.serves = false;
  BOOST_TEST(client.get("/v1/models/story/versions/1").json()["model_version_status"][0]["state"] == "LOADING");
}

BOOST_AUTO_TEST_CASE(every_input_of_the_metadata_is_taken) {
  Server server;
  HttpClient client(server.port());
  const Json metadata = client.get("/v1/models/story/metadata").json();
  Json row = Json::object();
  const Json& signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
  for (const auto& [name, info] : signature["inputs"].items()) {
    const bool is_text = info["dtype"] == "DT_STRING";
    row[name] = is_text ? Json("x") : Json(1);
  }
  BOOST_TEST(client.post("/v1/models/story:predict", Json{{"instances", Json::array({row})}}.dump()).status == 200);
}

BOOST_AUTO_TEST_SUITE_END()
