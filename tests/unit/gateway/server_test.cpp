// The server as clients meet it, over sockets: what it answers, in one piece and as streams.
#include <chrono>
#include <map>
#include <sstream>
#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/unit/gateway/server_fixture.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;
using std::chrono::milliseconds;

BOOST_AUTO_TEST_SUITE(gateway_server)

BOOST_AUTO_TEST_CASE(it_lists_its_models_and_shows_each) {
  Server server;
  HttpClient client(server.port());
  const HttpAnswer list = client.get("/v1/models");
  BOOST_TEST(list.status == 200);
  BOOST_TEST(list.headers.at("content-type") == "application/json");
  BOOST_TEST(list.json()["object"] == "list");
  BOOST_TEST(list.json()["data"][0].dump() ==
             R"({"id":"story","object":"model","created":1700000000,"owned_by":"tessera","max_model_len":64})");
  BOOST_TEST(client.get("/v1/models/story?x=1").json()["id"] == "story");
  BOOST_TEST(client.get("/v1/models/with%2Fslash").json()["id"] == "with/slash");
  // Who has a chat template says so, and who has none.
  BOOST_TEST(client.get("/v1/models/story").json()["chat"] == true);
  BOOST_TEST(client.get("/v1/models/plain").json()["chat"] == false);
  const HttpAnswer none = client.get("/v1/models/nobody");
  BOOST_TEST(none.status == 404);
  BOOST_TEST(error_code(none) == "model_not_found");
}

BOOST_AUTO_TEST_CASE(a_completion_in_one_piece_and_as_a_stream_is_the_same) {
  Server server;
  HttpClient client(server.port());
  const HttpAnswer whole = client.post(complete, hello);
  BOOST_TEST(whole.status == 200);
  BOOST_TEST(whole.json()["choices"][0]["text"] == "Hello, world");
  BOOST_TEST(whole.json()["choices"][0]["finish_reason"] == "stop");
  BOOST_TEST(
      whole.json()["usage"].dump() ==
      R"({"prompt_tokens":2,"completion_tokens":13,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":1}})");
  BOOST_TEST(whole.headers.at("x-tessera-seed") == "4711");
  const HttpAnswer stream = client.post(complete, hello_stream);
  BOOST_TEST(stream.headers.at("content-type") == "text/event-stream; charset=utf-8");
  BOOST_TEST(stream.headers.at("cache-control") == "no-cache");
  const auto list = events(stream.body);
  BOOST_TEST(streamed_text(list) == "Hello, world");
  BOOST_TEST(list.back() == "[DONE]");
  BOOST_TEST(list[list.size() - 2]["choices"][0]["finish_reason"] == "stop");
}

BOOST_AUTO_TEST_CASE(a_chat_streams_role_text_reason_usage_and_done_for_every_choice) {
  Server server;
  HttpClient client(server.port());
  const auto list = events(client
                               .post(converse, R"({"model": "story", "n": 2, "stream": true, "max_tokens": 5,
        "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "x"}]})")
                               .body);
  for (std::size_t choice = 0; choice < 2; ++choice) BOOST_TEST(streamed_text(list, choice) == "Hello");
  BOOST_TEST(list.front()["choices"][0]["delta"]["role"] == "assistant");
  BOOST_TEST(list.back() == "[DONE]");
  BOOST_TEST(list[list.size() - 2]["usage"]["completion_tokens"] == 10);
  std::size_t reasons = 0;
  for (const Json& event : list) {
    if (event.is_object() && !event["choices"].empty() && !event["choices"][0]["finish_reason"].is_null()) {
      BOOST_TEST(event["choices"][0]["finish_reason"] == "length");
      ++reasons;
    }
  }
  BOOST_TEST(reasons == 2u);
}

BOOST_AUTO_TEST_CASE(tokens_come_as_soon_as_they_are_computed) {
  Server server;
  server.models.allow(2);
  HttpClient client(server.port());
  client.send(post_bytes(complete, hello_stream));
  const std::string first = client.read_until("\"text\":\"He\"");
  BOOST_TEST(first.find("llo") == std::string::npos);
  server.models.allow(100);
  client.read_until("[DONE]");
}

BOOST_AUTO_TEST_CASE(echo_stop_and_log_probabilities_are_as_asked_for) {
  Server server;
  HttpClient client(server.port());
  const Json json = client
                        .post(complete, R"({"model": "story", "prompt": "ab", "max_tokens": 64, "echo": true,
    "logprobs": 0, "stop": ", w", "return_token_ids": true})")
                        .json();
  const Json& choice = json["choices"][0];
  BOOST_TEST(choice["text"] == "abHello");
  BOOST_TEST(choice["finish_reason"] == "stop");
  BOOST_TEST(choice["logprobs"]["tokens"].dump() == R"(["","a","b","H","e","l","l","o"])");
  BOOST_TEST(choice["logprobs"]["token_logprobs"].dump() == "[null,-1.0,-2.0,-0.5,-1.0,-1.5,-2.0,-2.5]");
  BOOST_TEST(choice["logprobs"]["text_offset"].dump() == "[0,0,1,2,3,4,5,6]");
  BOOST_TEST(choice["logprobs"]["top_logprobs"].is_null());
  BOOST_TEST(choice["token_ids"].size() == 8u);
  BOOST_TEST(choice["prompt_token_ids"].size() == 3u);
}

BOOST_AUTO_TEST_CASE(alternatives_stand_beside_the_tokens_of_prompt_and_completion) {
  Server server;
  HttpClient client(server.port());
  const Json echoed =
      client.post(complete, R"({"model": "story", "prompt": "a", "max_tokens": 1, "echo": true, "logprobs": 2})")
          .json();
  BOOST_TEST(echoed["choices"][0]["logprobs"]["top_logprobs"].dump() ==
             R"([null,{"z":-0.125,"a":-1.0},{"a":-0.25,"b":-0.5,"H":-0.5}])");
  const Json said = client
                        .post("/v1/chat/completions", R"({"model": "story", "max_tokens": 1, "logprobs": true,
    "top_logprobs": 1, "messages": [{"role": "user", "content": "x"}]})")
                        .json();
  BOOST_TEST(said["choices"][0]["logprobs"]["content"][0]["top_logprobs"].dump() ==
             R"([{"token":"a","logprob":-0.25,"bytes":[97]}])");
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_answered_in_the_protocols_shape) {
  Server server;
  HttpClient client(server.port());
  BOOST_TEST(error_code(client.get("/v1/nothing")) == "unknown_url");
  const HttpAnswer method = client.get(complete);
  BOOST_TEST(method.status == 405);
  BOOST_TEST(method.headers.at("allow") == "POST");
  BOOST_TEST(client.post(complete, "{\"model\"").status == 400);
  BOOST_TEST(client.post(complete, R"({"model": "nobody", "prompt": "x"})").status == 404);
  BOOST_TEST(error_code(client.post(complete, R"({"model": "story", "prompt": "x", "tools": []})")) ==
             "unknown_parameter");
  // The connection still serves.
  BOOST_TEST(client.get("/health/live").status == 200);
}

BOOST_AUTO_TEST_CASE(a_failure_before_the_first_token_is_a_status_and_later_an_event) {
  const client::Error failure{client::ErrorCode::exhausted, "too many wait"};
  {
    Server server;
    server.models.allow(0);
    server.models.fail_after_allowed(failure);
    HttpClient client(server.port());
    const HttpAnswer early = client.post(complete, hello_stream);
    BOOST_TEST(early.status == 429);
    BOOST_TEST(early.headers.at("retry-after") == "1");
    BOOST_TEST(error_code(early) == "rate_limit_exceeded");
  }
  Server server;
  server.models.allow(3);
  HttpClient client(server.port());
  client.send(post_bytes(complete, hello_stream));
  client.read_until("\"text\":\"Hel\"");
  server.models.fail_after_allowed(failure);
  client.read_until("data: {\"error\":{\"message\":\"too many wait\"");
  client.read_until("0\r\n\r\n");
  BOOST_TEST(client.get("/health/live").status == 200);
}

BOOST_AUTO_TEST_CASE(every_answer_has_a_request_id_the_clients_where_it_is_sane) {
  Server server;
  HttpClient client(server.port());
  BOOST_TEST(client.get("/health/live").headers.at("x-request-id").starts_with("req_"));
  BOOST_TEST(client.post(complete, "{}", "X-Request-Id: mine-1\r\n").headers.at("x-request-id") == "mine-1");
  BOOST_TEST(client.post(complete, "{}", "X-Request-Id: " + std::string(200, 'a') + "\r\n")
                 .headers.at("x-request-id")
                 .starts_with("req_"));
}

BOOST_AUTO_TEST_CASE(health_says_whether_any_model_serves) {
  Server server;
  HttpClient client(server.port());
  BOOST_TEST(client.get("/health/ready").status == 200);
  server.models.serves = false;
  const HttpAnswer answer = client.get("/health/ready");
  BOOST_TEST(answer.status == 503);
  BOOST_TEST(answer.json()["waiting"].size() == 5u);
  server.models.list_fails = Error{ErrorCode::unavailable, "the coordinator is away"};
  BOOST_TEST(client.get("/health/ready").json()["message"] == "the coordinator is away");
  BOOST_TEST(client.get("/health/live").status == 200);
}

BOOST_AUTO_TEST_CASE(head_is_answered_without_a_body) {
  Server server;
  HttpClient client(server.port());
  client.send("HEAD /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  BOOST_TEST(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
  BOOST_TEST(client.get("/health/live").status == 200);
}

BOOST_AUTO_TEST_CASE(requests_of_one_connection_may_be_sent_ahead) {
  Server server;
  HttpClient client(server.port());
  client.send(post_bytes(complete, hello) + post_bytes(complete, hello_stream) +
              "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  BOOST_TEST(client.read().json()["choices"][0]["text"] == "Hello, world");
  BOOST_TEST(streamed_text(events(client.read().body)) == "Hello, world");
  BOOST_TEST(client.read().status == 200);
}

BOOST_AUTO_TEST_CASE(the_chat_page_comes_from_the_binary_and_loads_nothing_from_elsewhere) {
  Server server;
  HttpClient client(server.port());
  const HttpAnswer page = client.get("/");
  BOOST_TEST(page.status == 200);
  BOOST_TEST(page.headers.at("content-type") == "text/html; charset=utf-8");
  BOOST_TEST(page.headers.at("content-security-policy").starts_with("default-src 'none'"));
  BOOST_TEST(page.body.find("://") == std::string::npos);
  for (const char* const part : {"/chat.js", "/chat.css"}) {
    BOOST_TEST(page.body.find(part) != std::string::npos);
    BOOST_TEST(client.get(part).status == 200);
  }
  BOOST_TEST(client.get("/chat.js").headers.at("content-type").starts_with("text/javascript"));
}

BOOST_AUTO_TEST_CASE(what_happened_is_told_to_prometheus) {
  Server server;
  HttpClient client(server.port());
  client.post(complete, hello);
  client.post(complete, R"({"model": "nobody\"", "prompt": "x"})");
  client.get("/nothing/at/all");
  server.models.allow(2);
  {
    HttpClient gone(server.port());
    gone.send(post_bytes(complete, hello_stream));
    gone.read_until("He");
  }
  BOOST_TEST(server.models.wait_running(0));
  const HttpAnswer answer = client.get("/metrics");
  BOOST_TEST(answer.headers.at("content-type") == "text/plain; version=0.0.4; charset=utf-8");
  for (const char* const line : {"tessera_http_requests_total{route=\"/v1/completions\",status=\"200\"} 2\n",
                                 "tessera_http_requests_total{route=\"/v1/completions\",status=\"404\"} 1\n",
                                 "tessera_http_requests_total{route=\"other\",status=\"404\"} 1\n",
                                 "tessera_generations_total{model=\"story\",outcome=\"stop\"} 1\n",
                                 "tessera_generations_total{model=\"story\",outcome=\"gone\"} 1\n",
                                 "tessera_generated_tokens_total{model=\"story\"} 15\n",
                                 "tessera_prompt_tokens_total{model=\"story\"} 4\n",
                                 "tessera_time_to_first_token_seconds_count{model=\"story\"} 2\n",
                                 "tessera_inter_token_seconds_count{model=\"story\"} 13\n",
                                 "tessera_generation_seconds_count{model=\"story\"} 2\n",
                                 "tessera_queue_seconds_sum{model=\"story\"} 0.5\n",
                                 "tessera_prefill_seconds_sum{model=\"story\"} 1\n",
                                 "tessera_prefill_seconds_count{model=\"story\"} 2\n",
                                 "tessera_decode_seconds_sum{model=\"story\"} 1.625\n",
                                 "tessera_streams_running 0\n",
                                 "tessera_http_connections 1\n",
                                 "tessera_node_streams_waiting{node=\"w1\"} 1\n",
                                 "tessera_node_kv_used_bytes{node=\"w1\"} 4096\n",
                                 "tessera_model_serving{model=\"story\"} 1\n",
                                 "tessera_prefix_cache_pages{node=\"w1\"} 12\n",
                                 "tessera_node_kv_bytes{node=\"w1\"} 16384\n",
                                 "tessera_prefix_cache_queried_tokens_total{model=\"story\",node=\"w1\"} 640\n",
                                 "tessera_prefix_cache_hit_tokens_total{model=\"story\",node=\"w1\"} 320\n",
                                 "tessera_preemptions_total{model=\"story\",node=\"w1\"} 5\n",
                                 "tessera_model_streams_running{model=\"story\"} 2\n",
                                 "tessera_model_streams_waiting{model=\"story\"} 1\n",
                                 "tessera_model_kv_used_ratio{model=\"story\"} 0.25\n",
                                 "tessera_step_rows_bucket{model=\"story\",node=\"w1\",le=\"1\"} 1\n",
                                 "tessera_step_rows_bucket{model=\"story\",node=\"w1\",le=\"512\"} 2\n",
                                 "tessera_step_rows_count{model=\"story\",node=\"w1\"} 3\n",
                                 "tessera_step_rows_sum{model=\"story\",node=\"w1\"} 604\n",
                                 "tessera_request_generated_tokens_sum{model=\"story\"} 15\n",
                                 "tessera_speculation_draft_tokens_total{node=\"w1\"} 50\n",
                                 "tessera_speculation_accepted_tokens_total{node=\"w1\"} 40\n",
                                 "tessera_node_connections_refused_total{node=\"w1\"} 60\n",
                                 "tessera_node_calls_denied_total{node=\"w1\"} 70\n",
                                 "tessera_http_connections_turned_away_total 0\n",
                                 "tessera_cluster_reachable 1\n"}) {
    BOOST_TEST(answer.body.find(line) != std::string::npos, line << " is not in " << answer.body);
  }
  BOOST_TEST(answer.body.find("nobody") == std::string::npos);
}

/// A sample with the same value: "name{labels} value".
std::string value_of(const std::string& text, const std::string& series) {
  const std::size_t at = text.find("\n" + series + " ");
  BOOST_REQUIRE_MESSAGE(at != std::string::npos, series << " is not in " << text);
  const std::size_t begin = at + series.size() + 2;
  return text.substr(begin, text.find('\n', begin) - begin);
}

BOOST_AUTO_TEST_CASE(what_is_measured_has_the_names_of_others_too) {
  Server server;
  HttpClient client(server.port());
  client.post(complete, hello);
  client.post(complete, R"({"model": "story", "prompt": "x", "max_tokens": 3})");
  const std::string own = client.get("/metrics").body, theirs = client.get("/metrics/compat").body;
  const std::pair<const char*, const char*> same[] = {
      {"tessera_model_streams_running{model=", "vllm:num_requests_running{model_name="},
      {"tessera_model_streams_waiting{model=", "vllm:num_requests_waiting{model_name="},
      {"tessera_model_kv_used_ratio{model=", "vllm:kv_cache_usage_perc{model_name="},
      {"tessera_prompt_tokens_total{model=", "vllm:prompt_tokens_total{model_name="},
      {"tessera_generated_tokens_total{model=", "vllm:generation_tokens_total{model_name="},
      {"tessera_time_to_first_token_seconds_sum{model=", "vllm:time_to_first_token_seconds_sum{model_name="},
      {"tessera_inter_token_seconds_sum{model=", "vllm:inter_token_latency_seconds_sum{model_name="},
      {"tessera_generation_seconds_sum{model=", "vllm:e2e_request_latency_seconds_sum{model_name="},
      {"tessera_queue_seconds_sum{model=", "vllm:request_queue_time_seconds_sum{model_name="},
      {"tessera_prefill_seconds_sum{model=", "vllm:request_prefill_time_seconds_sum{model_name="},
      {"tessera_decode_seconds_sum{model=", "vllm:request_decode_time_seconds_sum{model_name="},
      {"tessera_request_prompt_tokens_sum{model=", "vllm:request_prompt_tokens_sum{model_name="},
      {"tessera_request_generated_tokens_sum{model=", "vllm:request_generation_tokens_sum{model_name="}};
  for (const auto& pair : same) {
    const std::string story = "\"story\"}";
    BOOST_TEST(value_of(own, pair.first + story) == value_of(theirs, pair.second + story), pair.second);
  }
  const std::string conductor = "{model_name=\"story\",engine=\"w1\"}";
  BOOST_TEST(value_of(theirs, "vllm:num_preemptions_total" + conductor) == "5");
  BOOST_TEST(value_of(theirs, "vllm:prefix_cache_queries_total" + conductor) == "640");
  BOOST_TEST(value_of(theirs, "vllm:prefix_cache_hits_total" + conductor) == "320");
  BOOST_TEST(value_of(theirs, "vllm:iteration_tokens_total_count" + conductor) == "3");
  for (const char* const reason : {"stop", "length"}) {
    BOOST_TEST(value_of(theirs, std::string("vllm:request_success_total{model_name=\"story\",finished_reason=\"") +
                                    reason + "\"}") == "1");
  }
  BOOST_TEST(theirs.find("tessera") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(every_metric_is_explained_and_counters_are_totals) {
  Server server;
  HttpClient client(server.port());
  client.post(complete, hello);
  std::istringstream lines(client.get("/metrics").body);
  std::map<std::string, std::string> types;
  std::string line, help;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string hash, keyword, name, type;
    words >> hash >> keyword >> name >> type;
    if (keyword == "HELP") help = name;
    if (keyword != "TYPE") continue;
    BOOST_TEST(help == name);
    BOOST_TEST(name.starts_with("tessera_"));
    BOOST_TEST((type == "counter") == name.ends_with("_total"), name);
    types[name] = type;
  }
  BOOST_TEST(types.size() >= 15u);
  BOOST_TEST(types["tessera_time_to_first_token_seconds"] == "histogram");
}

BOOST_AUTO_TEST_CASE(tokens_and_text_become_each_other) {
  Server server;
  HttpClient client(server.port());
  const Json tokens = client.post("/tokenize", R"({"model": "story", "prompt": "ab"})").json();
  BOOST_TEST(tokens["tokens"].dump() == "[1,100,101]");
  BOOST_TEST(tokens["count"] == 3);
  BOOST_TEST(client.post("/tokenize", R"({"model": "story", "prompt": "a", "add_special_tokens": false})")
                 .json()["tokens"]
                 .dump() == "[100]");
  BOOST_TEST(client.post("/tokenize", R"({"model": "story", "messages": [{"role": "user", "content": "a"}]})")
                 .json()["count"] == 19);
  BOOST_TEST(client.post("/detokenize", R"({"model": "story", "tokens": [1, 100, 101]})").json()["prompt"] == "ab");
  for (const char* const wrong : {R"({"model": "story", "tokens": [300]})", R"({"model": "story", "tokens": [-1]})",
                                  R"({"model": "story", "tokens": "ab"})", R"({"model": "bare", "tokens": [1]})"}) {
    BOOST_TEST(client.post("/detokenize", wrong).status == 400);
  }
}

BOOST_AUTO_TEST_CASE(a_stream_that_has_nothing_to_say_shows_that_it_lives) {
  GatewayOptions options;
  options.keep_alive_interval = milliseconds(50);
  Server server(options);
  server.models.allow(1);
  HttpClient client(server.port());
  client.send(post_bytes(complete, hello_stream));
  client.read_until("\"text\":\"H\"");
  client.read_until(": keep-alive\n\n");
  server.models.allow(100);
  client.read_until("[DONE]");
}

BOOST_AUTO_TEST_SUITE_END()
