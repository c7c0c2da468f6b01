// From a request to the streams that answer it.
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/generation_plan.hpp"
#include "gateway/generation_run.hpp"
#include "tests/unit/gateway/fake_models.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;

namespace {

constexpr std::size_t choices_at_most = 8;

Outcome<GenerationPlan> complete(FakeModels& models, const std::string& fields) {
  const Json body = Json::parse("{" + fields + "}");
  const auto request = parse_completion(body);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(request), fields);
  return plan_completion(models, *request, {"1", 1234}, choices_at_most);
}

Outcome<GenerationPlan> converse(FakeModels& models, const std::string& fields) {
  const Json body = Json::parse("{" + fields + "}");
  const auto request = parse_chat(body);
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(request), fields);
  return plan_chat(models, *request, {"1", 1234}, choices_at_most, {});
}

GenerationPlan planned(Outcome<GenerationPlan> plan) {
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(plan), (plan ? "" : plan.error().message));
  return *std::move(plan);
}

ApiError refused(const Outcome<GenerationPlan>& plan) {
  BOOST_REQUIRE(!plan);
  return plan.error();
}

std::string text_of(const std::vector<TokenId>& ids) { return byte_tokenizer()->decode(ids); }

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_plan)

BOOST_AUTO_TEST_CASE(a_text_is_tokenized_behind_the_start_token) {
  FakeModels models;
  const GenerationPlan plan = planned(complete(models, R"("model": "story", "prompt": "ab", "stop": "x")"));
  BOOST_TEST(plan.choices.size() == 1u);
  const StreamSpec& spec = plan.choices[0].spec;
  BOOST_TEST(spec.prompt == (std::vector<TokenId>{1, byte_token('a'), byte_token('b')}),
             boost::test_tools::per_element());
  BOOST_TEST(spec.tokens_max == 16u);
  BOOST_TEST(spec.end_tokens == std::vector<TokenId>{2}, boost::test_tools::per_element());
  BOOST_TEST(spec.stop.size() == 1u);
  BOOST_TEST(plan.prompt_tokens == 3u);
  BOOST_TEST(plan.reply->whole({}, {})["id"] == "cmpl-1");
  BOOST_TEST(plan.reply->whole({}, {})["system_fingerprint"] == "cpu-1_0123456789abcdef");
}

BOOST_AUTO_TEST_CASE(choices_are_numbered_prompt_by_prompt_and_draw_for_themselves) {
  FakeModels models;
  const GenerationPlan plan = planned(complete(models, R"("model": "story", "prompt": ["a", "b"], "n": 2, "seed": 9)"));
  BOOST_TEST(plan.choices.size() == 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    BOOST_TEST(text_of(plan.choices[i].spec.prompt) == (i < 2 ? "a" : "b"));
    BOOST_TEST(plan.choices[i].spec.sampling.choice == i % 2);
    BOOST_TEST(plan.choices[i].spec.sampling.seed == 9u);
  }
  BOOST_TEST(plan.prompt_tokens == 4u);
  BOOST_TEST(planned(complete(models, R"("model": "story", "prompt": "a")")).seed == 4711u);
}

BOOST_AUTO_TEST_CASE(as_many_tokens_as_fit_are_asked_for) {
  FakeModels models;
  const auto tokens = [&](const std::string& limit) {
    return planned(converse(models, R"("model": "story", "messages": [{"role": "user", "content": "x"}])" + limit))
        .choices[0]
        .spec.tokens_max;
  };
  // "<user>x\n<assistant>" has 19 bytes.
  BOOST_TEST(tokens("") == 64u - 19u + 1u);
  BOOST_TEST(tokens(R"(, "max_tokens": 1000)") == 64u - 19u + 1u);
  BOOST_TEST(tokens(R"(, "max_tokens": 4)") == 4u);
}

BOOST_AUTO_TEST_CASE(a_prompt_beyond_the_context_is_refused) {
  FakeModels models;
  const auto prompt = [](std::size_t bytes) {
    return R"("model": "story", "prompt": ")" + std::string(bytes, 'a') + "\"";
  };
  BOOST_TEST(planned(complete(models, prompt(63))).choices[0].spec.tokens_max == 1u);
  const ApiError error = refused(complete(models, prompt(64)));
  BOOST_TEST(*error.code == "context_length_exceeded");
  BOOST_TEST(error.status == 400);
}

BOOST_AUTO_TEST_CASE(a_conversation_is_rendered_by_the_models_template) {
  FakeModels models;
  const GenerationPlan plan = planned(converse(models, R"("model": "story", "messages": [{"role": "system",
    "content": "S"}, {"role": "user", "content": "U"}])"));
  BOOST_TEST(text_of(plan.choices[0].spec.prompt) == "<system>S\n<user>U\n<assistant>");
  BOOST_TEST(plan.reply->whole({}, {})["id"] == "chatcmpl-1");
}

BOOST_AUTO_TEST_CASE(models_without_template_or_tokenizer_say_so) {
  FakeModels models;
  BOOST_TEST(*refused(converse(models, R"("model": "plain", "messages": [{"role": "user", "content": "x"}])")).code ==
             "no_chat_template");
  BOOST_TEST(*refused(complete(models, R"("model": "bare", "prompt": "x")")).param == "prompt");
  BOOST_TEST(planned(complete(models, R"("model": "bare", "prompt": [1, 5])")).choices.size() == 1u);
  BOOST_TEST(refused(complete(models, R"("model": "nobody", "prompt": "x")")).status == 404);
  models.list_fails = Error{ErrorCode::unavailable, "the coordinator is away"};
  BOOST_TEST(refused(complete(models, R"("model": "story", "prompt": "x")")).status == 503);
}

BOOST_AUTO_TEST_CASE(ids_outside_the_vocabulary_are_refused) {
  FakeModels models;
  BOOST_TEST(*refused(complete(models, R"("model": "story", "prompt": [1, 300])")).param == "prompt");
}

BOOST_AUTO_TEST_CASE(one_request_starts_only_so_many_streams) {
  FakeModels models;
  BOOST_TEST(*refused(complete(models, R"("model": "story", "prompt": ["a", "b", "c"], "n": 3)")).param == "n");
}

BOOST_AUTO_TEST_CASE(an_echo_comes_before_the_completion_with_its_tokens_where_they_are_asked_for) {
  FakeModels models;
  const GenerationPlan plan =
      planned(complete(models, R"("model": "story", "prompt": "ab", "echo": true, "logprobs": 0, "max_tokens": 0)"));
  BOOST_TEST(plan.choices[0].echo == "ab");
  BOOST_TEST(plan.choices[0].echoes_tokens);
  BOOST_TEST(plan.choices[0].spec.score_prompt);
  BOOST_TEST(plan.choices[0].spec.tokens_max == 0u);
  BOOST_TEST(planned(complete(models, R"("model": "story", "prompt": [100, 101], "echo": true)")).choices[0].echo ==
             "ab");
  BOOST_TEST(
      *refused(complete(models, R"("model": "story", "prompt": "a", "echo": true, "logprobs": 0, "stream": true)"))
           .param == "echo");
}

BOOST_AUTO_TEST_CASE(alternatives_are_asked_for_beside_log_probabilities) {
  FakeModels models;
  const auto alternatives = [](const GenerationPlan& plan) { return plan.choices[0].spec.alternatives; };
  BOOST_TEST(alternatives(planned(complete(models, R"("model": "story", "prompt": "a", "logprobs": 2)"))) == 2u);
  BOOST_TEST(alternatives(planned(complete(models, R"("model": "story", "prompt": "a", "logprobs": 0)"))) == 0u);
  BOOST_TEST(alternatives(planned(complete(models, R"("model": "story", "prompt": "a")"))) == 0u);
  BOOST_TEST(alternatives(planned(converse(models, R"("model": "story", "messages": [{"role": "user", "content": "x"}],
    "logprobs": true, "top_logprobs": 20)"))) == 20u);
}

BOOST_AUTO_TEST_CASE(time_counts_from_the_arrival_of_the_request) {
  FakeModels models;
  StreamBudget budget(8);
  const auto start = [&](const std::string& fields, std::chrono::milliseconds waited) {
    return start_generation(models, budget, planned(complete(models, R"("model": "story", "prompt": "x", )" + fields)),
                            waited);
  };
  BOOST_REQUIRE(static_cast<bool>(start(R"("timeout": 2)", std::chrono::milliseconds(1500))));
  BOOST_TEST(models.started.back().timeout.count() == 500);
  BOOST_REQUIRE(static_cast<bool>(start(R"("n": 1)", std::chrono::hours(1))));
  BOOST_TEST(models.started.back().timeout.count() == 0);
  const auto late = start(R"("timeout": 2)", std::chrono::milliseconds(2000));
  BOOST_REQUIRE(!late);
  BOOST_TEST(late.error().status == 504);
  BOOST_TEST(models.started.size() == 2u);
  BOOST_TEST(budget.running() == 0u);
}

BOOST_AUTO_TEST_CASE(a_conversation_is_named_by_its_cache_key_or_else_its_user) {
  FakeModels models;
  const auto session = [&](const std::string& fields) {
    return planned(complete(models, R"("model": "story", "prompt": "x", )" + fields)).choices.at(0).spec.session;
  };
  BOOST_TEST(session(R"("user": "ann", "prompt_cache_key": "talk")") == "talk");
  BOOST_TEST(session(R"("user": "ann")") == "ann");
  BOOST_TEST(session(R"("user": null, "safety_identifier": "ann")").empty());
  BOOST_TEST(session(R"("user": 7)").empty());
}

BOOST_AUTO_TEST_SUITE_END()
