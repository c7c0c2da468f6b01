// What the bodies of completions and chat completions may say, and what is refused instead of ignored.
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/chat_request.hpp"
#include "gateway/completion_request.hpp"

using namespace tessera;
using namespace tessera::gateway;

namespace {

CompletionRequest completion(const std::string& fields) {
  const Json body = Json::parse(R"({"model": "story", )" + fields + "}");
  auto request = parse_completion(body);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(request), fields << ": " << (request ? "" : request.error().message));
  return *std::move(request);
}

ChatRequest chat(const std::string& fields) {
  const Json body = Json::parse(R"({"model": "story", )" + fields + "}");
  auto request = parse_chat(body);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(request), fields << ": " << (request ? "" : request.error().message));
  return *std::move(request);
}

/// The field that a completion, or a chat, is refused for.
std::string refused_completion(const std::string& fields) {
  const Json body = Json::parse(R"({"model": "story", "prompt": "x", )" + fields + "}");
  const auto request = parse_completion(body);
  BOOST_REQUIRE_MESSAGE(!request, fields << " was accepted");
  BOOST_TEST(request.error().status == 400);
  return request.error().param.value_or("");
}

std::string refused_chat(const std::string& fields) {
  const Json body =
      Json::parse(R"({"model": "story", "messages": [{"role": "user", "content": "x"}], )" + fields + "}");
  const auto request = parse_chat(body);
  BOOST_REQUIRE_MESSAGE(!request, fields << " was accepted");
  BOOST_TEST(request.error().status == 400);
  return request.error().param.value_or("");
}

std::string refused_message(const std::string& message) {
  const Json body =
      Json::parse(R"({"model": "story", "messages": [{"role": "user", "content": "x"}, )" + message + "]}");
  const auto request = parse_chat(body);
  BOOST_REQUIRE_MESSAGE(!request, message << " was accepted");
  BOOST_TEST(request.error().status == 400);
  return request.error().param.value_or("");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_requests)

BOOST_AUTO_TEST_CASE(a_completion_without_options_has_the_protocols_defaults) {
  const CompletionRequest request = completion(R"("prompt": "Once")");
  BOOST_TEST(request.generation.model == "story");
  BOOST_TEST(request.prompts.size() == 1u);
  BOOST_TEST(request.prompts[0].text == "Once");
  BOOST_TEST(*request.generation.tokens_max == 16u);
  BOOST_TEST(request.generation.sampling.temperature == 1.0f);
  BOOST_TEST(request.generation.sampling.top_p == 1.0f);
  BOOST_TEST(request.generation.choices == 1u);
  BOOST_TEST(!request.generation.seed_given);
  BOOST_TEST(!request.generation.stream);
  BOOST_TEST(!request.echo);
  BOOST_TEST(!request.logprobs.has_value());
}

BOOST_AUTO_TEST_CASE(every_option_of_sampling_arrives) {
  const GenerationFields fields =
      completion(R"("prompt": "x", "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "presence_penalty": -1,
        "frequency_penalty": 1.5, "repetition_penalty": 1.1, "logit_bias": {"5": -100, "7": 2.5}, "seed": -3, "n": 4,
        "max_tokens": 9, "stop": ["a", "b"], "stream": true, "stream_options": {"include_usage": true},
        "ignore_eos": true, "return_token_ids": true, "user": "u", "best_of": 4, "suffix": null,
        "priority": -3, "timeout": 1.5)")
          .generation;
  BOOST_TEST(fields.sampling.temperature == 0.5f);
  BOOST_TEST(fields.sampling.top_p == 0.9f);
  BOOST_TEST(fields.sampling.top_k == 40u);
  BOOST_TEST(fields.sampling.min_p == 0.05f);
  BOOST_TEST(fields.sampling.presence_penalty == -1.0f);
  BOOST_TEST(fields.sampling.frequency_penalty == 1.5f);
  BOOST_TEST(fields.sampling.repeat_penalty == 1.1f);
  BOOST_TEST(fields.sampling.logit_bias.size() == 2u);
  BOOST_TEST(fields.sampling.logit_bias[0].first == 5);
  BOOST_TEST(fields.sampling.logit_bias[0].second == -100.0f);
  BOOST_TEST(fields.sampling.seed == static_cast<std::uint64_t>(-3));
  BOOST_TEST(fields.seed_given);
  BOOST_TEST(fields.choices == 4u);
  BOOST_TEST(*fields.tokens_max == 9u);
  BOOST_TEST(fields.stop.size() == 2u);
  BOOST_TEST(fields.stream);
  BOOST_TEST(fields.include_usage);
  BOOST_TEST(fields.ignore_eos);
  BOOST_TEST(fields.return_token_ids);
  BOOST_TEST(fields.priority == -3);
  BOOST_TEST((fields.timeout == std::chrono::milliseconds(1500)));
}

BOOST_AUTO_TEST_CASE(without_a_word_there_is_no_priority_and_no_timeout) {
  const GenerationFields fields = completion(R"("prompt": "x")").generation;
  BOOST_TEST(fields.priority == 0);
  BOOST_TEST(fields.timeout.count() == 0);
  // The shortest that can be told from none.
  BOOST_TEST(completion(R"("prompt": "x", "timeout": 0.001)").generation.timeout.count() == 1);
}

BOOST_AUTO_TEST_CASE(a_share_of_nothing_keeps_the_best_token_alone) {
  BOOST_TEST(completion(R"("prompt": "x", "top_p": 0)").generation.sampling.top_p > 0);
  BOOST_TEST(completion(R"("prompt": "x", "top_k": -1)").generation.sampling.top_k == 0u);
}

BOOST_AUTO_TEST_CASE(a_prompt_is_a_text_texts_ids_or_lists_of_ids) {
  BOOST_TEST(completion(R"("prompt": ["a", "b"])").prompts.size() == 2u);
  const auto ids = completion(R"("prompt": [1, 2, 3])").prompts;
  BOOST_TEST(ids.size() == 1u);
  BOOST_TEST(!ids[0].is_text);
  BOOST_TEST(ids[0].ids == (std::vector<TokenId>{1, 2, 3}), boost::test_tools::per_element());
  const auto lists = completion(R"("prompt": [[1], [2, 3]])").prompts;
  BOOST_TEST(lists.size() == 2u);
  BOOST_TEST(lists[1].ids.size() == 2u);
  for (const char* const wrong : {"1", "{}", "[]", "[[]]", "[1, \"a\"]", "[[1], 2]", "[1.5]", "[-1]", "[2147483648]",
                                  "[18446744073709551615]", "true", "[null]"}) {
    const Json body = Json::parse(std::string(R"({"model": "m", "prompt": )") + wrong + "}");
    const auto request = parse_completion(body);
    BOOST_TEST_CONTEXT(wrong) {
      BOOST_REQUIRE(!request);
      BOOST_TEST(*request.error().param == "prompt");
    }
  }
  BOOST_TEST(!parse_completion(Json::parse(R"({"model": "m"})")));
}

BOOST_AUTO_TEST_CASE(values_out_of_range_name_their_field) {
  for (const auto& [fields, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("temperature": 2.1)", "temperature"},
           {R"("temperature": -1)", "temperature"},
           {R"("top_p": 1.1)", "top_p"},
           {R"("n": 0)", "n"},
           {R"("n": 129)", "n"},
           {R"("max_tokens": -1)", "max_tokens"},
           {R"("logprobs": 6)", "logprobs"},
           {R"("logprobs": true)", "logprobs"},
           {R"("stop": ["a", "b", "c", "d", "e"])", "stop"},
           {R"("stop": "")", "stop"},
           {R"("presence_penalty": 2.5)", "presence_penalty"},
           {R"("logit_bias": {"x": 1})", "logit_bias"},
           {R"("logit_bias": {"1": 101})", "logit_bias"},
           {R"("logit_bias": {"1": "2"})", "logit_bias"},
           {R"("logit_bias": [1])", "logit_bias"},
           {R"("seed": 1.5)", "seed"},
           {R"("stream_options": {"include_usage": true})", "stream_options"},
           {R"("stream": true, "stream_options": {"x": 1})", "stream_options.x"},
           {R"("stream": "yes")", "stream"},
           {R"("model": "")", "model"}}) {
    BOOST_TEST(refused_completion(fields) == param);
  }
}

BOOST_AUTO_TEST_CASE(what_is_not_there_yet_is_refused_and_never_ignored) {
  BOOST_TEST(refused_completion(R"("best_of": 3)") == "best_of");
  BOOST_TEST(refused_completion(R"("suffix": "end")") == "suffix");
  BOOST_TEST(refused_completion(R"("guided_json": {})") == "guided_json");
  for (const auto& [fields, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("tools": [{"type": "function", "function": {"name": "f"}}])", "tools"},
           {R"("tool_choice": "required")", "tool_choice"},
           {R"("functions": [{"name": "f"}])", "functions"},
           {R"("response_format": {"type": "json_object"})", "response_format"},
           {R"("response_format": {"type": "json_schema", "json_schema": {"name": "x"}})", "response_format"},
           {R"("modalities": ["text", "audio"])", "modalities"},
           {R"("audio": {"voice": "x"})", "audio"},
           {R"("reasoning_effort": "low")", "reasoning_effort"},
           {R"("prediction": {"type": "content"})", "prediction"},
           {R"("web_search_options": {})", "web_search_options"},
           {R"("store": true)", "store"},
           {R"("service_tier": "flex")", "service_tier"},
           {R"("top_logprobs": 3)", "top_logprobs"},
           {R"("echo": true)", "echo"}}) {
    BOOST_TEST(refused_chat(fields) == param);
  }
}

BOOST_AUTO_TEST_CASE(what_changes_nothing_is_accepted) {
  const ChatRequest request =
      chat(R"("messages": [{"role": "user", "content": "x"}], "tools": [], "tool_choice": "none",
    "response_format": {"type": "text"}, "modalities": ["text"], "store": false, "service_tier": "auto",
    "parallel_tool_calls": true, "metadata": {"a": "b"}, "logit_bias": null, "functions": null)");
  BOOST_TEST(request.messages.size() == 1u);
}

BOOST_AUTO_TEST_CASE(messages_become_what_templates_take) {
  const ChatRequest request = chat(R"("messages": [{"role": "developer", "content": "Be brief."},
    {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": " there"}]},
    {"role": "assistant", "content": "Hi", "refusal": null, "tool_calls": []}], "max_completion_tokens": 5,
    "logprobs": true, "chat_template_kwargs": {"enable_thinking": false})");
  BOOST_TEST(request.messages.dump() ==
             R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hello there","name":"Ann"},)"
             R"({"role":"assistant","content":"Hi"}])");
  BOOST_TEST(*request.generation.tokens_max == 5u);
  BOOST_TEST(request.logprobs);
  BOOST_TEST(request.template_variables.dump() == R"({"enable_thinking":false})");
  BOOST_TEST(!chat(R"("messages": [{"role": "user", "content": "x"}])").generation.tokens_max.has_value());
}

BOOST_AUTO_TEST_CASE(a_wrong_message_is_named_by_its_place) {
  BOOST_TEST(refused_message("1") == "messages[1]");
  BOOST_TEST(refused_message(R"({"role": "king", "content": "x"})") == "messages[1].role");
  BOOST_TEST(refused_message(R"({"content": "x"})") == "messages[1].role");
  BOOST_TEST(refused_message(R"({"role": "user"})") == "messages[1].content");
  BOOST_TEST(refused_message(R"({"role": "user", "content": 1})") == "messages[1].content");
  BOOST_TEST(refused_message(R"({"role": "user", "content": "x", "mood": "glad"})") == "messages[1].mood");
  BOOST_TEST(refused_message(R"({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]})") ==
             "messages[1].content[0].type");
  BOOST_TEST(refused_message(R"({"role": "user", "content": [{"type": "text"}]})") == "messages[1].content[0].text");
  BOOST_TEST(refused_message(R"({"role": "user", "content": ["x"]})") == "messages[1].content[0]");
  BOOST_TEST(refused_message(R"({"role": "tool", "content": "42", "tool_call_id": null})") == "messages[1].role");
  BOOST_TEST(refused_message(R"({"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]})") ==
             "messages[1].tool_calls");
}

BOOST_AUTO_TEST_CASE(a_chat_needs_messages_and_one_limit) {
  for (const char* const body :
       {R"({"model": "m"})", R"({"model": "m", "messages": []})", R"({"model": "m", "messages": "Hello"})"}) {
    const auto request = parse_chat(Json::parse(body));
    BOOST_REQUIRE(!request);
    BOOST_TEST(*request.error().param == "messages");
  }
  BOOST_TEST(refused_chat(R"("max_tokens": 4, "max_completion_tokens": 5)") == "max_tokens");
  BOOST_TEST(refused_chat(R"("chat_template_kwargs": [1])") == "chat_template_kwargs");
}

BOOST_AUTO_TEST_SUITE_END()
