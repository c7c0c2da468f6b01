#include "gateway/completion_reply.hpp"

#include "gateway/sse.hpp"
#include "runtime/base/decimal.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::gateway {

namespace {

Json logprob_of(const TextToken& token) {
  return token.log_probability ? Json(decimal_of(*token.log_probability)) : Json();
}

Json bytes_json(const std::string& bytes) {
  Json json = Json::array();
  for (const char byte : bytes) json.push_back(static_cast<unsigned char>(byte));
  return json;
}

/// By their texts, the token itself among them; of those that read alike, the most probable one.
Json alternatives_json(const TextToken& token) {
  if (!token.log_probability) return {};
  Json json = Json::object();
  for (const TextAlternative& each : token.alternatives)
    if (std::string text = to_valid_utf8(each.bytes); !json.contains(text))
      json[std::move(text)] = decimal_of(each.log_probability);
  if (std::string text = to_valid_utf8(token.bytes); !json.contains(text)) json[std::move(text)] = logprob_of(token);
  return json;
}

class TextReply final : public CompletionReply {
 public:
  using CompletionReply::CompletionReply;

  std::optional<Json> first_chunk(std::size_t) const override { return {}; }
  Json chunk(std::size_t choice, const ChoicePiece& piece) const override {
    Json json{
        {"text", piece.text}, {"index", choice}, {"logprobs", logprobs(piece.tokens)}, {"finish_reason", nullptr}};
    if (facts().return_token_ids) json["token_ids"] = piece.ids;
    return envelope(true, Json::array({std::move(json)}));
  }
  Json last_chunk(std::size_t choice, client::FinishReason reason) const override {
    return envelope(
        true, Json::array({Json{
                  {"text", ""}, {"index", choice}, {"logprobs", nullptr}, {"finish_reason", reason_text(reason)}}}));
  }

 private:
  const char* object(bool) const override { return "text_completion"; }

  Json choice_json(std::size_t index, const FinishedChoice& choice) const override {
    return {{"text", choice.text},
            {"index", index},
            {"logprobs", logprobs(choice.tokens)},
            {"finish_reason", reason_text(choice.reason)}};
  }

  Json logprobs(const std::vector<TextToken>& tokens) const {
    if (!facts().logprobs) return {};
    Json texts = Json::array(), values = Json::array(), offsets = Json::array(), tops = Json::array();
    for (const TextToken& token : tokens) {
      texts.push_back(to_valid_utf8(token.bytes));
      values.push_back(logprob_of(token));
      offsets.push_back(token.offset);
      tops.push_back(alternatives_json(token));
    }
    return {{"tokens", texts},
            {"token_logprobs", values},
            {"top_logprobs", facts().alternatives > 0 ? std::move(tops) : Json()},
            {"text_offset", offsets}};
  }
};

class ChatReply final : public CompletionReply {
 public:
  using CompletionReply::CompletionReply;

  std::optional<Json> first_chunk(std::size_t choice) const override {
    return delta(choice, {{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}, {}, {});
  }
  Json chunk(std::size_t choice, const ChoicePiece& piece) const override {
    Json json = delta(choice, {{"content", piece.text}}, logprobs(piece.tokens), {});
    if (facts().return_token_ids) json["choices"][0]["token_ids"] = piece.ids;
    return json;
  }
  Json last_chunk(std::size_t choice, client::FinishReason reason) const override {
    return delta(choice, Json::object(), {}, reason_text(reason));
  }

 private:
  const char* object(bool chunk) const override { return chunk ? "chat.completion.chunk" : "chat.completion"; }

  Json choice_json(std::size_t index, const FinishedChoice& choice) const override {
    return {{"index", index},
            {"message", {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}}},
            {"logprobs", logprobs(choice.tokens)},
            {"finish_reason", reason_text(choice.reason)}};
  }

  Json delta(std::size_t choice, Json delta, Json logprobs, Json reason) const {
    return envelope(true, Json::array({Json{{"index", choice},
                                            {"delta", std::move(delta)},
                                            {"logprobs", std::move(logprobs)},
                                            {"finish_reason", std::move(reason)}}}));
  }

  Json logprobs(const std::vector<TextToken>& tokens) const {
    if (!facts().logprobs) return {};
    Json content = Json::array();
    for (const TextToken& token : tokens) {
      Json tops = Json::array();
      for (const TextAlternative& each : token.alternatives) {
        tops.push_back({{"token", to_valid_utf8(each.bytes)},
                        {"logprob", decimal_of(each.log_probability)},
                        {"bytes", bytes_json(each.bytes)}});
      }
      content.push_back({{"token", to_valid_utf8(token.bytes)},
                         {"logprob", logprob_of(token)},
                         {"bytes", bytes_json(token.bytes)},
                         {"top_logprobs", std::move(tops)}});
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
  }
};

/// The chunks of a dialect as events.
class ChunkReply final : public GenerationReply {
 public:
  explicit ChunkReply(std::unique_ptr<CompletionReply> dialect) : dialect_(std::move(dialect)) {}

  Json whole(const std::vector<FinishedChoice>& choices, const Usage& usage) const override {
    return dialect_->whole(choices, usage);
  }
  void tell(std::size_t choice, bool begins, const ChoicePiece& piece, std::vector<Json>& events) override {
    if (begins) {
      if (auto first = dialect_->first_chunk(choice)) events.push_back(*std::move(first));
    }
    const ReplyFacts& facts = dialect_->facts();
    const bool says = !piece.text.empty() || (facts.logprobs && !piece.tokens.empty()) ||
                      (facts.return_token_ids && !piece.ids.empty());
    if (says) events.push_back(dialect_->chunk(choice, piece));
    if (piece.finished) events.push_back(dialect_->last_chunk(choice, *piece.finished));
  }
  void tell_end(const Usage& usage, std::vector<Json>& events) override {
    if (dialect_->facts().include_usage) events.push_back(dialect_->usage_chunk(usage));
  }
  Json failure(const ApiError& error) const override { return to_json(error); }
  const char* end_mark() const override { return sse_done; }

 private:
  const std::unique_ptr<CompletionReply> dialect_;
};

}  // namespace

Json CompletionReply::envelope(bool chunk, Json choices) const {
  Json json{{"id", facts_.id},
            {"object", object(chunk)},
            {"created", facts_.created_unix_s},
            {"model", facts_.model},
            {"system_fingerprint", facts_.fingerprint},
            {"choices", std::move(choices)}};
  if (chunk && facts_.include_usage) json["usage"] = nullptr;
  return json;
}

Json CompletionReply::usage_chunk(const Usage& usage) const {
  Json json = envelope(true, Json::array());
  json["usage"] = usage_json(usage);
  return json;
}

Json CompletionReply::whole(const std::vector<FinishedChoice>& choices, const Usage& usage) const {
  Json list = Json::array();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    Json choice = choice_json(i, choices[i]);
    if (facts_.return_token_ids) {
      choice["token_ids"] = choices[i].ids;
      choice["prompt_token_ids"] = choices[i].prompt_ids;
    }
    list.push_back(std::move(choice));
  }
  Json json = envelope(false, std::move(list));
  json["usage"] = usage_json(usage);
  return json;
}

std::unique_ptr<CompletionReply> make_text_reply(ReplyFacts facts) {
  return std::make_unique<TextReply>(std::move(facts));
}

std::unique_ptr<CompletionReply> make_chat_reply(ReplyFacts facts) {
  return std::make_unique<ChatReply>(std::move(facts));
}

std::unique_ptr<GenerationReply> make_reply(std::unique_ptr<CompletionReply> dialect) {
  return std::make_unique<ChunkReply>(std::move(dialect));
}

}  // namespace tessera::gateway
