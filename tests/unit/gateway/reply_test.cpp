// What answers look like: tokens beside their text, objects, chunks, errors, server-sent events.
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "gateway/choice_text.hpp"
#include "gateway/completion_reply.hpp"
#include "gateway/sse.hpp"
#include "runtime/text/text_stream.hpp"
#include "tests/unit/gateway/fake_models.hpp"

using namespace tessera;
using namespace tessera::gateway;
using namespace tessera::test;
using Reason = client::FinishReason;
using client::GenerateEvent;

namespace {

/// Bytes as tokens, with the text that the client library makes of them.
class Told {
 public:
  explicit Told(std::vector<std::string> stop = {}) : text_(std::move(stop)) {}

  ChoicePiece say(const std::string& bytes) {
    ChoicePiece piece;
    for (const char byte : bytes) {
      if (text_.stopped()) break;
      GenerateEvent event;
      event.index = index_++;
      event.token = byte_token(byte);
      event.log_probability = -1;
      event.text = text_.push(std::string(1, byte));
      choice_.take(event, piece);
    }
    return piece;
  }
  ChoicePiece end_token() {
    ChoicePiece piece;
    GenerateEvent event;
    event.index = index_++;
    event.token = 2;
    choice_.take(event, piece);
    return piece;
  }
  ChoicePiece finish(Reason reason) {
    ChoicePiece piece;
    GenerateEvent event;
    event.kind = GenerateEvent::Kind::finished;
    event.reason = reason;
    event.text = text_.finish();
    choice_.take(event, piece);
    return piece;
  }
  std::size_t tokens() const { return choice_.tokens(); }

 private:
  TextStream text_;
  ChoiceText choice_{byte_tokenizer(), 1, {2}};
  std::uint32_t index_ = 0;
};

std::string bytes_of(const ChoicePiece& piece) {
  std::string bytes;
  for (const TextToken& token : piece.tokens) bytes += token.bytes;
  return bytes;
}

ReplyFacts facts() {
  ReplyFacts facts;
  facts.id = "cmpl-1";
  facts.created_unix_s = 1234;
  facts.model = "story";
  facts.fingerprint = "cpu-1_0";
  return facts;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_reply)

BOOST_AUTO_TEST_CASE(tokens_are_told_with_their_text) {
  Told told;
  const ChoicePiece piece = told.say("Hi");
  BOOST_TEST(piece.text == "Hi");
  BOOST_TEST(bytes_of(piece) == "Hi");
  BOOST_TEST(piece.tokens[1].offset == 1u);
  BOOST_TEST(piece.ids.size() == 2u);
  BOOST_TEST(!piece.finished.has_value());
}

BOOST_AUTO_TEST_CASE(a_stop_string_takes_its_tokens_along) {
  Told told({"\nUser:"});
  BOOST_TEST(bytes_of(told.say("Hello\nUs")) == "Hello");
  const ChoicePiece rest = told.say("er:");
  BOOST_TEST(rest.text.empty());
  BOOST_TEST(rest.tokens.empty());
  const ChoicePiece end = told.finish(Reason::stop_string);
  BOOST_TEST(end.tokens.empty());
  BOOST_TEST((end.finished == Reason::stop_string));
  BOOST_TEST(told.tokens() == 11u);
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_text_do_not_shift_what_a_stop_string_takes_along) {
  Told told({"END"});
  const ChoicePiece piece = told.say(
      "a\xFF\xFE"
      "bEN");
  BOOST_TEST(piece.text ==
             "a\xEF\xBF\xBD\xEF\xBF\xBD"
             "b");
  BOOST_TEST(bytes_of(piece) ==
             "a\xFF\xFE"
             "b");
  BOOST_TEST(told.say("D").tokens.empty());
  BOOST_TEST(told.finish(Reason::stop_string).tokens.empty());
  // The first half of a character, which the stop string shows to be none.
  Told half({"END"});
  half.say("a\xC3");
  const ChoicePiece rest = half.say("END");
  BOOST_TEST(rest.text == "\xEF\xBF\xBD");
  BOOST_TEST(bytes_of(rest) == "\xC3");
}

BOOST_AUTO_TEST_CASE(text_that_was_held_back_for_a_stop_string_comes_with_its_tokens_when_none_comes) {
  Told told({"\nUser:"});
  told.say("Hello\nUs");
  const ChoicePiece piece = told.say("ed");
  BOOST_TEST(piece.text == "\nUsed");
  BOOST_TEST(bytes_of(piece) == "\nUsed");
  Told other({"\nUser:"});
  other.say("Hello\nUs");
  const ChoicePiece end = other.finish(Reason::length);
  BOOST_TEST(end.text == "\nUs");
  BOOST_TEST(bytes_of(end) == "\nUs");
}

BOOST_AUTO_TEST_CASE(half_a_character_waits_and_offsets_count_characters) {
  Told told;
  BOOST_TEST(told.say("a\xC3").text == "a");
  const ChoicePiece piece = told.say("\xA9z");
  BOOST_TEST(piece.text == "éz");
  BOOST_TEST(piece.tokens.size() == 3u);
  BOOST_TEST(piece.tokens.back().offset == 2u);
}

BOOST_AUTO_TEST_CASE(an_end_token_is_counted_and_is_none_of_the_text) {
  Told told;
  told.say("Hi");
  const ChoicePiece piece = told.end_token();
  BOOST_TEST(piece.tokens.empty());
  BOOST_TEST(piece.ids.size() == 1u);
  BOOST_TEST(told.finish(Reason::end_token).tokens.empty());
  BOOST_TEST(told.tokens() == 3u);
}

BOOST_AUTO_TEST_CASE(without_a_tokenizer_ids_stand_for_text) {
  ChoiceText choice(nullptr, 1, {});
  ChoicePiece piece;
  GenerateEvent event;
  event.token = 42;
  event.text = "42 ";
  choice.take(event, piece);
  BOOST_TEST(bytes_of(piece) == "42 ");
}

BOOST_AUTO_TEST_CASE(a_prompts_first_token_has_no_log_probability) {
  const std::vector<PromptScore> scores{{1, -1, {}}, {2, -2, {{byte_token('c'), -0.5f}}}};
  const auto tokens = prompt_tokens(*byte_tokenizer(), {1, byte_token('a'), byte_token('b')}, scores);
  BOOST_TEST(tokens.size() == 3u);
  BOOST_TEST(!tokens[0].log_probability.has_value());
  BOOST_TEST(*tokens[2].log_probability == -2.0f);
  BOOST_TEST(tokens[2].offset == 1u);
  BOOST_REQUIRE(tokens[2].alternatives.size() == 1u);
  BOOST_TEST(tokens[2].alternatives[0].bytes == "c");
}

BOOST_AUTO_TEST_CASE(a_whole_completion_has_every_field_of_the_protocol) {
  const auto reply = make_text_reply(facts());
  FinishedChoice choice;
  choice.text = "Hi";
  choice.reason = Reason::end_token;
  BOOST_TEST(
      to_text(reply->whole({choice}, {3, 2, 1})) ==
      R"({"id":"cmpl-1","object":"text_completion","created":1234,"model":"story","system_fingerprint":"cpu-1_0",)"
      R"("choices":[{"text":"Hi","index":0,"logprobs":null,"finish_reason":"stop"}],)"
      R"("usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}})");
}

BOOST_AUTO_TEST_CASE(a_whole_chat_has_a_message_with_a_refusal_that_is_null) {
  ReplyFacts chat = facts();
  chat.logprobs = true;
  chat.return_token_ids = true;
  const auto reply = make_chat_reply(chat);
  FinishedChoice choice;
  choice.text = "é";
  choice.tokens.push_back({7, "\xC3", -0.5f, 0});
  choice.ids = {7, 2};
  choice.prompt_ids = {1};
  const Json json = reply->whole({choice}, {1, 2});
  BOOST_TEST(json["object"] == "chat.completion");
  BOOST_TEST(json["choices"][0].dump() ==
             R"({"index":0,"message":{"role":"assistant","content":"é","refusal":null},"logprobs":{"content":[)"
             R"({"token":")"
             "\xEF\xBF\xBD"
             R"(","logprob":-0.5,"bytes":[195],"top_logprobs":[]}],"refusal":null},"finish_reason":"length",)"
             R"("token_ids":[7,2],"prompt_token_ids":[1]})");
}

BOOST_AUTO_TEST_CASE(a_stream_begins_with_the_role_and_ends_with_a_reason_and_the_usage) {
  ReplyFacts chat = facts();
  chat.include_usage = true;
  const auto reply = make_chat_reply(chat);
  const Json first = *reply->first_chunk(1);
  BOOST_TEST(first["object"] == "chat.completion.chunk");
  BOOST_TEST(first["choices"][0]["delta"].dump() == R"({"role":"assistant","content":"","refusal":null})");
  BOOST_TEST(first["choices"][0]["index"] == 1);
  BOOST_TEST(first["usage"].is_null());
  BOOST_TEST(first.contains("usage"));
  ChoicePiece piece;
  piece.text = "Hi";
  const Json chunk = reply->chunk(1, piece);
  BOOST_TEST(chunk["choices"][0]["delta"].dump() == R"({"content":"Hi"})");
  BOOST_TEST(chunk["choices"][0]["finish_reason"].is_null());
  const Json last = reply->last_chunk(1, Reason::length);
  BOOST_TEST(last["choices"][0]["delta"].dump() == "{}");
  BOOST_TEST(last["choices"][0]["finish_reason"] == "length");
  const Json usage = reply->usage_chunk({1, 2});
  BOOST_TEST(usage["choices"].empty());
  BOOST_TEST(usage["usage"]["total_tokens"] == 3);
  BOOST_TEST(first["id"] == usage["id"]);
  BOOST_TEST(first["created"] == usage["created"]);
}

BOOST_AUTO_TEST_CASE(completions_list_log_probabilities_in_columns) {
  ReplyFacts text = facts();
  text.logprobs = true;
  const auto reply = make_text_reply(text);
  BOOST_TEST(!reply->first_chunk(0).has_value());
  ChoicePiece piece;
  piece.text = "ab";
  piece.tokens.push_back({3, "a", {}, 0});
  piece.tokens.push_back({4, "b", -0.00078420877f, 1});
  BOOST_TEST(reply->chunk(0, piece)["choices"][0]["logprobs"].dump() ==
             R"({"tokens":["a","b"],"token_logprobs":[null,-0.00078420877],"top_logprobs":null,"text_offset":[0,1]})");
}

BOOST_AUTO_TEST_CASE(completions_list_alternatives_by_their_texts_and_the_token_among_them) {
  ReplyFacts text = facts();
  text.logprobs = true;
  text.alternatives = 3;
  const auto reply = make_text_reply(text);
  ChoicePiece piece;
  piece.text = "ab";
  piece.tokens.push_back({3, "a", {}, 0});  // the first token of a prompt
  // Two parts of characters read alike: the better one stands for both.
  piece.tokens.push_back({4, "b", -3.5f, 1, {{"\xC3", -0.5f}, {"c", -1.0f}, {"\xC4", -1.5f}}});
  piece.tokens.push_back({5, "c", -0.5f, 2, {{"c", -0.5f}, {"d", -1.0f}}});
  BOOST_TEST(reply->chunk(0, piece)["choices"][0]["logprobs"]["top_logprobs"].dump() ==
             "[null,{\"\xEF\xBF\xBD\":-0.5,\"c\":-1.0,\"b\":-3.5},{\"c\":-0.5,\"d\":-1.0}]");
}

BOOST_AUTO_TEST_CASE(chats_list_alternatives_with_their_bytes) {
  ReplyFacts chat = facts();
  chat.logprobs = true;
  chat.alternatives = 2;
  const auto reply = make_chat_reply(chat);
  ChoicePiece piece;
  piece.text = "b";
  piece.tokens.push_back({4, "b", -3.5f, 0, {{"\xC3", -0.5f}, {"c", -1.0f}}});
  BOOST_TEST(reply->chunk(0, piece)["choices"][0]["logprobs"]["content"][0]["top_logprobs"].dump() ==
             "[{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-0.5,\"bytes\":[195]},"
             "{\"token\":\"c\",\"logprob\":-1.0,\"bytes\":[99]}]");
}

BOOST_AUTO_TEST_CASE(an_event_is_one_line_whatever_the_text_is) {
  const std::string event = sse_event({{"text", "a\nb\r\n\xff \u2028"}});
  BOOST_TEST(event.starts_with("data: {"));
  BOOST_TEST(event.ends_with("}\n\n"));
  BOOST_TEST(event.find('\n') == event.size() - 2);
  BOOST_TEST(event.find('\r') == std::string::npos);
  const Json back = Json::parse(event.substr(6), nullptr, false);
  BOOST_TEST(!back.is_discarded());
}

BOOST_AUTO_TEST_CASE(an_error_has_the_protocols_shape_and_a_status_that_fits) {
  BOOST_TEST(to_text(to_json(bad_request("wrong", "n", "c"))) ==
             R"({"error":{"message":"wrong","type":"invalid_request_error","param":"n","code":"c"}})");
  BOOST_TEST(to_text(to_json(to_api_error({ErrorCode::io, "disk"}))) ==
             R"({"error":{"message":"disk","type":"server_error","param":null,"code":"internal_error"}})");
  const std::vector<std::pair<ErrorCode, int>> statuses{
      {ErrorCode::invalid_argument, 400}, {ErrorCode::not_found, 404},   {ErrorCode::corrupt, 500},
      {ErrorCode::unsupported, 400},      {ErrorCode::io, 500},          {ErrorCode::exhausted, 429},
      {ErrorCode::cancelled, 503},        {ErrorCode::unavailable, 503}, {ErrorCode::timed_out, 504},
      {ErrorCode::denied, 403},           {ErrorCode::conflict, 409}};
  for (const auto& [code, status] : statuses) BOOST_TEST(to_api_error({code, ""}).status == status);
  BOOST_TEST(*to_api_error({ErrorCode::exhausted, ""}).retry_after_s == 1u);
  BOOST_TEST(model_not_found("x").status == 404);
  BOOST_TEST(*model_not_found("x").code == "model_not_found");
}

BOOST_AUTO_TEST_CASE(what_a_client_wrote_is_shown_shortened_and_whole_characters_only) {
  BOOST_TEST(shortened("short") == "short");
  const std::string shown = shortened(std::string(63, 'a') + "é and more");
  BOOST_TEST(shown == std::string(63, 'a') + "…");
}

BOOST_AUTO_TEST_SUITE_END()
