// POST /v1/embeddings against models that are played: a vector is {tokens, last token, -0.1, 1.5}.
#include <cstring>

#include <boost/test/unit_test.hpp>

#include "runtime/base/base64.hpp"
#include "tests/unit/gateway/server_fixture.hpp"

namespace tessera::test {

namespace {

const std::string embed_path = "/v1/embeddings";

std::string param_of(const HttpAnswer& answer) { return answer.json()["error"]["param"].get<std::string>(); }

}  // namespace

BOOST_FIXTURE_TEST_SUITE(gateway_embeddings, Server)

BOOST_AUTO_TEST_CASE(texts_become_vectors_in_their_order) {
  HttpClient client(port());
  const HttpAnswer answer = client.post(embed_path, R"({"model": "encoder", "input": ["ab", "c"], "user": "u"})");
  BOOST_TEST(answer.status == 200);
  // The start token and the bytes; this tokenizer puts nothing behind them.
  BOOST_TEST(answer.body ==
             R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[3.0,101.0,-0.1,1.5]},)"
             R"({"object":"embedding","index":1,"embedding":[2.0,102.0,-0.1,1.5]}],)"
             R"("model":"encoder","usage":{"prompt_tokens":5,"total_tokens":5}})");
  BOOST_REQUIRE(models.started.size() == 2u);
  BOOST_TEST((models.started[0].vector == VectorRequest{Pooling::mean, true}));
  BOOST_TEST(models.started[0].tokens_max == 0u);
}

BOOST_AUTO_TEST_CASE(one_text_and_token_ids_are_taken_too) {
  HttpClient client(port());
  const auto vectors = [&](const std::string& input) {
    return client.post(embed_path, R"({"model": "story", "input": )" + input + "}").json()["data"];
  };
  BOOST_TEST(vectors(R"("abc")").size() == 1u);
  BOOST_TEST(vectors("[7, 8, 9]")[0]["embedding"].dump() == "[3.0,9.0,-0.1,1.5]");  // as they are
  const auto two = vectors("[[7, 8], [9]]");
  BOOST_TEST(two.size() == 2u);
  BOOST_TEST(two[1]["embedding"].dump() == "[1.0,9.0,-0.1,1.5]");
}

BOOST_AUTO_TEST_CASE(base64_holds_the_same_floats) {
  HttpClient client(port());
  const HttpAnswer answer =
      client.post(embed_path, R"({"model": "encoder", "input": "x", "encoding_format": "base64", "dimensions": 4})");
  const auto bytes = decode_base64(answer.json()["data"][0]["embedding"].get<std::string>());
  BOOST_REQUIRE(bytes && bytes->size() == 16);
  float values[4];
  std::memcpy(values, bytes->data(), sizeof values);
  BOOST_TEST(values[0] == 2.0f);
  BOOST_TEST(values[2] == -0.1f);
}

BOOST_AUTO_TEST_CASE(more_texts_than_run_at_once_all_come_back) {
  HttpClient client(port());
  gateway::Json inputs = gateway::Json::array();
  for (int i = 0; i < 150; ++i) inputs.push_back(std::string(static_cast<std::size_t>(1 + i % 20), 'x'));
  const gateway::Json body{{"model", "encoder"}, {"input", inputs}};
  const gateway::Json data = client.post(embed_path, body.dump()).json()["data"];
  BOOST_REQUIRE(data.size() == 150u);
  for (std::size_t i = 0; i < data.size(); ++i) {
    BOOST_TEST(data[i]["index"] == i);
    BOOST_TEST(data[i]["embedding"][0] == 2.0 + static_cast<double>(i % 20));
  }
  BOOST_TEST(models.running() == 0u);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_named) {
  HttpClient client(port());
  const auto refused = [&](const std::string& rest) {
    return client.post(embed_path, R"({"model": "encoder", )" + rest + "}");
  };
  for (const auto& [rest, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("input": [])", "input"},
           {R"("input": [[]])", "input"},
           {R"("input": {"a": 1})", "input"},
           {R"("input": [1.5])", "input"},
           {R"("input": "x", "encoding_format": "hex")", "encoding_format"},
           {R"("input": "x", "dimensions": 3)", "dimensions"},
           {R"("input": "x", "dimensions": 0)", "dimensions"},
           {R"("input": "x", "temperature": 1)", "temperature"},
           {R"("input": ["x", ")" + std::string(40, 'y') + R"("])", "input"}}) {
    const HttpAnswer answer = refused(rest);
    BOOST_TEST(answer.status == 400, rest);
    BOOST_TEST(param_of(answer) == param, answer.body);
  }
  BOOST_TEST(param_of(client.post(embed_path, R"({"model": "encoder"})")) == "input");
  BOOST_TEST(param_of(client.post(embed_path, R"({"input": "x"})")) == "model");
  BOOST_TEST(client.post(embed_path, R"({"model": "none", "input": "x"})").status == 404);
  BOOST_TEST(error_code(client.post(embed_path, R"({"model": "bare", "input": "x"})")) == "");
  BOOST_TEST(error_code(refused(R"("input": ")" + std::string(40, 'y') + "\"")) == "context_length_exceeded");
  BOOST_TEST(models.started.empty());
}

BOOST_AUTO_TEST_CASE(an_encoder_is_asked_for_text_in_vain) {
  HttpClient client(port());
  for (const std::string& path : {complete, converse}) {
    const std::string body = path == complete
                                 ? R"({"model": "encoder", "prompt": "x"})"
                                 : R"({"model": "encoder", "messages": [{"role": "user", "content": "x"}]})";
    const HttpAnswer answer = client.post(path, body);
    BOOST_TEST(answer.status == 400);
    if (path == complete) BOOST_TEST(error_code(answer) == "model_not_supported");
  }
}

BOOST_AUTO_TEST_CASE(a_failure_of_one_text_is_that_of_the_request) {
  models.allow(0);
  models.fail_after_allowed({client::ErrorCode::unavailable, "no worker"});
  HttpClient client(port());
  const HttpAnswer answer = client.post(embed_path, R"({"model": "encoder", "input": ["a", "b"]})");
  BOOST_TEST(answer.status == 503);
  BOOST_TEST(answer.json()["error"]["message"] == "no worker");
  BOOST_TEST(models.running() == 0u);
}

BOOST_AUTO_TEST_CASE(a_client_that_leaves_takes_its_texts_along) {
  models.allow(0);
  HttpClient client(port());
  client.send(post_bytes(embed_path, R"({"model": "encoder", "input": ["a", "b"]})"));
  BOOST_TEST(models.wait_running(2));
  client.close();
  BOOST_TEST(models.wait_running(0));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
