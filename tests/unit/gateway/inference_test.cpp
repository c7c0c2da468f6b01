// The Open Inference Protocol: what infer and generate may say, health and metadata, and what is answered.
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/inference_request.hpp"
#include "tests/unit/gateway/server_fixture.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

namespace {

std::string text_input(const std::string& shape, const std::string& data) {
  return R"({"name": "text", "datatype": "BYTES", "shape": )" + shape + ", \"data\": " + data + "}";
}

std::string infer_body(const std::string& shape, const std::string& data, const std::string& more = {}) {
  return "{\"inputs\": [" + text_input(shape, data) + "]" + more + "}";
}

InferRequest parsed(const std::string& body) {
  auto request = parse_infer(Json::parse(body));
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(request), body << ": " << request.error().message);
  return *std::move(request);
}

std::string refused(const std::string& body) {
  const auto request = parse_infer(Json::parse(body));
  BOOST_REQUIRE_MESSAGE(!request, body << " was accepted");
  BOOST_TEST(request.error().status == 400);
  return request.error().message;
}

std::vector<std::string> texts(const InferRequest& request) {
  std::vector<std::string> result;
  for (const PromptRow& row : request.rows) result.push_back(row.text);
  return result;
}

std::string error_text(const HttpAnswer& answer) {
  const Json json = answer.json();
  BOOST_REQUIRE_MESSAGE(json.size() == 1 && json.contains("error") && json["error"].is_string(), answer.body);
  return json["error"].get<std::string>();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_inference)

BOOST_AUTO_TEST_CASE(elements_come_flat_or_nested) {
  const std::vector<std::string> four{"a", "b", "c", "d"};
  BOOST_TEST(texts(parsed(infer_body("[4]", R"(["a","b","c","d"])"))) == four, boost::test_tools::per_element());
  BOOST_TEST(texts(parsed(infer_body("[2, 2]", R"(["a","b","c","d"])"))) == four, boost::test_tools::per_element());
  BOOST_TEST(texts(parsed(infer_body("[2, 2]", R"([["a","b"],["c","d"]])"))) == four, boost::test_tools::per_element());
  BOOST_TEST(texts(parsed(infer_body("[4, 1]", R"([["a"],["b"],["c"],["d"]])"))) == four,
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(parameters_hold_for_every_element_and_outputs_are_all_without_a_choice) {
  const InferRequest request = parsed(infer_body(
      "[2]", R"(["a","b"])",
      R"(, "id": "7", "parameters": {"max_tokens": 3, "temperature": 0, "stop": "x", "binary_data_output": false})"));
  BOOST_TEST(*request.id == "7");
  for (const PromptRow& row : request.rows) {
    BOOST_TEST(*row.parameters.tokens_max == 3u);
    BOOST_TEST(row.parameters.sampling.temperature == 0.0f);
    BOOST_TEST(row.parameters.stop.size() == 1u);
  }
  BOOST_TEST(request.outputs.size() == 3u);
  BOOST_TEST(parsed(infer_body("[1]", R"(["a"])", R"(, "outputs": [{"name": "tokens"}])")).outputs[0] == "tokens");
}

BOOST_AUTO_TEST_CASE(shapes_and_data_that_do_not_fit_are_refused) {
  for (const char* const shape : {"[]", "[0]", "[-1]", "[1.0]", "\"1\"", "null", "[1,1,1,1,1,1,1,1,1]",
                                  "[18446744073709551615, 2]", "[1048576, 1048576]"}) {
    BOOST_TEST(refused(infer_body(shape, R"(["a"])")).find("'shape'") != std::string::npos, shape);
  }
  BOOST_TEST(refused(infer_body("[2]", R"(["a"])")) == "'data' of the input 'text' has 1 elements, its shape 2");
  BOOST_TEST(refused(infer_body("[2, 2]", R"([["a","b"],["c"]])")).find("at level 1 a list of 2 is expected") !=
             std::string::npos);
  BOOST_TEST(refused(infer_body("[1]", R"([["a"]])")).find("must be a string") != std::string::npos);
  for (const char* const data : {"[5]", "[null]", "\"a\"", "null", "[]", R"([{"b64": "YQ=="}])"}) {
    BOOST_TEST(!refused(infer_body("[1]", data)).empty());
  }
}

BOOST_AUTO_TEST_CASE(priority_1_is_the_earliest_and_0_is_50_and_a_timeout_is_in_microseconds) {
  const auto scheduled = [](const std::string& parameters) {
    return parsed(infer_body("[1]", R"(["x"])", R"(, "parameters": {)" + parameters + "}")).rows.front().parameters;
  };
  BOOST_TEST(scheduled(R"("priority": 1)").priority == -49);
  BOOST_TEST(scheduled(R"("priority": 100)").priority == 50);
  BOOST_TEST(scheduled(R"("priority": 0)").priority == 0);
  BOOST_TEST(scheduled(R"("max_tokens": 1)").priority == 0);
  BOOST_TEST((scheduled(R"("timeout": 1500)").timeout == std::chrono::milliseconds(2)));
  BOOST_TEST(scheduled(R"("timeout": 0)").timeout.count() == 0);
}

BOOST_AUTO_TEST_CASE(other_tensors_types_and_parameters_are_refused) {
  BOOST_TEST(refused("{}").find("'inputs'") != std::string::npos);
  BOOST_TEST(refused(R"({"inputs": []})").find("'inputs'") != std::string::npos);
  BOOST_TEST(refused("{\"inputs\": [" + text_input("[1]", "[\"a\"]") + "," + text_input("[1]", "[\"a\"]") + "]}") ==
             "expected 1 inputs but got 2 inputs");
  BOOST_TEST(refused(R"({"inputs": [{"name": "prompt", "shape": [1], "datatype": "BYTES", "data": ["a"]}]})")
                 .find("unexpected inference input 'prompt'") != std::string::npos);
  BOOST_TEST(
      refused(R"({"inputs": [{"name": "text", "shape": [1], "datatype": "FP32", "data": [1]}]})").find("datatype") !=
      std::string::npos);
  for (const char* const more :
       {R"(, "parameters": {"surprise": 1})", R"(, "parameters": 5)", R"(, "parameters": {"temperature": "hot"})",
        R"(, "parameters": {"binary_data_output": true})", R"(, "parameters": {"stream": true})",
        R"(, "outputs": [{"name": "other"}])", R"(, "outputs": [{"name": "text"}, {"name": "text"}])",
        R"(, "outputs": [{"name": "text", "parameters": {"classification": 2}}])",
        R"(, "outputs": [{"name": "text", "parameters": {"binary_data": true}}])", R"(, "outputs": {})",
        R"(, "outputs": ["text"])", R"(, "surprise": 1)", R"(, "id": 5)"}) {
    BOOST_TEST(!refused(infer_body("[1]", R"(["a"])", more)).empty());
  }
}

BOOST_AUTO_TEST_CASE(an_inference_has_its_id_its_shape_and_the_outputs_that_were_asked_for) {
  Server server;
  HttpClient client(server.port());
  const HttpAnswer answer =
      client.post("/v2/models/story/infer",
                  infer_body("[2, 1]", R"([["x"],["y"]])", R"(, "id": "42", "parameters": {"max_tokens": 5})"));
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(answer.body == R"({"id":"42","model_name":"story","model_version":"1","outputs":[)"
                            R"({"name":"text","datatype":"BYTES","shape":[2,1],"data":["Hello","Hello"]},)"
                            R"({"name":"finish_reason","datatype":"BYTES","shape":[2,1],"data":["length","length"]},)"
                            R"({"name":"tokens","datatype":"INT32","shape":[2,1],"data":[5,5]}]})");
  const HttpAnswer one = client.post("/v2/models/story/versions/1/infer",
                                     infer_body("[1]", R"(["x"])", R"(, "outputs": [{"name": "tokens"}])"));
  BOOST_TEST(one.body == R"({"model_name":"story","model_version":"1","outputs":[)"
                         R"({"name":"tokens","datatype":"INT32","shape":[1],"data":[13]}]})");
}

BOOST_AUTO_TEST_CASE(generate_answers_in_one_piece_or_as_events) {
  Server server;
  HttpClient client(server.port());
  const std::string body = R"({"id": "7", "text_input": "x", "parameters": {"max_tokens": 5}})";
  BOOST_TEST(client.post("/v2/models/story/generate", body).body ==
             R"({"id":"7","model_name":"story","model_version":"1","text_output":"Hello"})");
  const HttpAnswer stream = client.post("/v2/models/story/generate_stream", body);
  BOOST_TEST(stream.headers.at("content-type") == "text/event-stream; charset=utf-8");
  std::string text;
  for (const Json& event : events(stream.body)) {
    BOOST_TEST(event["id"] == "7");
    BOOST_TEST(event["model_name"] == "story");
    BOOST_TEST(event.size() == 4u);
    text += event["text_output"].get<std::string>();
  }
  BOOST_TEST(text == "Hello");
  BOOST_TEST(stream.body.find("[DONE]") == std::string::npos);
  BOOST_TEST(
      client.post("/v2/models/story/generate", R"({"text_input": "x", "parameters": {"stream": false}})").status ==
      200);
  BOOST_TEST(
      client.post("/v2/models/story/generate", R"({"text_input": "x", "parameters": {"stream": true}})").status == 400);
  BOOST_TEST(error_text(client.post("/v2/models/story/generate", "{}")) == "'text_input' is missing");
}

BOOST_AUTO_TEST_CASE(an_output_without_a_character_is_an_event) {
  Server server;
  server.models.says = "";
  HttpClient client(server.port());
  const auto list = events(client.post("/v2/models/story/generate_stream", R"({"text_input": "x"})").body);
  BOOST_REQUIRE(list.size() == 1u);
  BOOST_TEST(list[0]["text_output"] == "");
}

BOOST_AUTO_TEST_CASE(a_stream_that_fails_ends_with_an_error_event) {
  Server server;
  server.models.allow(3);
  HttpClient client(server.port());
  client.send(post_bytes("/v2/models/story/generate_stream", R"({"text_input": "x"})"));
  client.read_until("\"text_output\":\"Hel\"");
  server.models.fail_after_allowed({client::ErrorCode::exhausted, "too many wait"});
  client.read_until("data: {\"error\":\"too many wait\"}\n\n");
  client.read_until("0\r\n\r\n");
  BOOST_TEST(client.get("/v2/health/live").status == 200);
}

BOOST_AUTO_TEST_CASE(a_client_that_goes_ends_its_stream) {
  Server server;
  server.models.allow(2);
  {
    HttpClient client(server.port());
    client.send(post_bytes("/v2/models/story/generate_stream", R"({"text_input": "x"})"));
    client.read_until("He");
  }
  BOOST_TEST(server.models.wait_running(0));
}

BOOST_AUTO_TEST_CASE(health_and_metadata_of_server_and_models) {
  Server server;
  HttpClient client(server.port());
  BOOST_TEST(client.get("/v2/health/live").body == R"({"live":true})");
  BOOST_TEST(client.get("/v2/health/ready").body == R"({"ready":true})");
  BOOST_TEST(client.get("/v2/models/story/ready").body == R"({"name":"story","ready":true})");
  BOOST_TEST(client.get("/v2/models/story/versions/1/ready").status == 200);
  for (const char* const path : {"/v2", "/v2/"}) {
    const Json json = client.get(path).json();
    BOOST_TEST(json["name"] == "tessera");
    BOOST_TEST(json["extensions"].dump() == R"(["generate","parameters"])");
    BOOST_TEST(!json["version"].get<std::string>().empty());
  }
  BOOST_TEST(client.get("/v2/models").body == R"({"models":["story","plain","bare","with/slash","encoder"]})");
  const HttpAnswer model = client.get("/v2/models/story");
  BOOST_TEST(
      model.body ==
      R"({"name":"story","versions":["1"],"platform":"tessera_hdf5","inputs":[{"name":"text","datatype":"BYTES",)"
      R"("shape":[-1]}],"outputs":[{"name":"text","datatype":"BYTES","shape":[-1]},{"name":"finish_reason",)"
      R"("datatype":"BYTES","shape":[-1]},{"name":"tokens","datatype":"INT32","shape":[-1]}]})");
  BOOST_TEST(client.get("/v2/models/story/versions/1").body == model.body);
  server.models.serves = false;
  BOOST_TEST(client.get("/v2/health/ready").status == 503);
  const HttpAnswer waiting = client.get("/v2/models/story/ready");
  BOOST_TEST(waiting.status == 503);
  BOOST_TEST(waiting.body == R"({"name":"story","ready":false})");
}

BOOST_AUTO_TEST_CASE(unknown_models_versions_paths_and_methods_are_told_in_one_text) {
  Server server;
  HttpClient client(server.port());
  const std::string body = infer_body("[1]", R"(["x"])");
  for (const char* const path :
       {"/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/story/versions/2", "/v2/nothing"}) {
    const HttpAnswer answer = client.get(path);
    BOOST_TEST(answer.status == 404);
    BOOST_TEST(!error_text(answer).empty());
  }
  for (const char* const path : {"/v2/models/nobody/infer", "/v2/models/story/versions/2/infer"}) {
    const HttpAnswer answer = client.post(path, body);
    BOOST_TEST(answer.status == 404);
    BOOST_TEST(error_text(answer).starts_with("Request for unknown model"));
  }
  const HttpAnswer method = client.get("/v2/models/story/infer");
  BOOST_TEST(method.status == 405);
  BOOST_TEST(!error_text(method).empty());
  BOOST_TEST(error_text(client.post("/v2/models/bare/infer", body)).find("tokenizer") != std::string::npos);
  BOOST_TEST(server.models.started.empty());
}

BOOST_AUTO_TEST_SUITE_END()
