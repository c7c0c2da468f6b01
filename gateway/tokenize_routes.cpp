// Tokens of a text, and text of tokens, by a model's own tokenizer:
//   POST /tokenize    {"model", "prompt" | "messages", "add_special_tokens"?}  → {"count", "max_model_len", "tokens"}
//   POST /detokenize  {"model", "tokens"}                                      → {"prompt"}
#include "gateway/generation_plan.hpp"
#include "gateway/json_answer.hpp"
#include "gateway/routes.hpp"
#include "gateway/sse.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::gateway {

namespace {

using Answer = std::function<Outcome<Json>(Services&, const Json&)>;

Outcome<ModelWithText> model_with_tokenizer(Services& services, const std::optional<std::string>& name) {
  if (!name) return bad_request("you must provide a model: 'model' is missing", "model");
  auto model = find_model(services.models, *name);
  if (model && !model->tokenizer)
    return bad_request("the model " + *name + " has no tokenizer", "model", "no_tokenizer");
  return model;
}

Outcome<std::vector<TokenId>> chat_ids(Services& services, const ModelWithText& model, const Json& messages) {
  TESSERA_TRY(const ChatRequest request, parse_chat(Json{{"model", model.model.name}, {"messages", messages}}));
  return chat_prompt(model, request.messages, request.template_variables, local_time(services.calendar.now()));
}

Outcome<Json> tokenize(Services& services, const Json& body) {
  JsonFields fields(body);
  const auto name = fields.text("model");
  const auto prompt = fields.text("prompt");
  const Json* const messages = fields.any("messages");
  const bool add_bos = fields.flag("add_special_tokens").value_or(true);
  if (auto error = fields.finish()) return *std::move(error);
  if (prompt.has_value() == (messages != nullptr)) return bad_request("give one of 'prompt' and 'messages'", "prompt");
  TESSERA_TRY(const ModelWithText model, model_with_tokenizer(services, name));
  std::vector<TokenId> ids;
  if (prompt) {
    ids = model.tokenizer->encode(*prompt, {.add_bos = add_bos});
  } else {
    TESSERA_TRY(ids, chat_ids(services, model, *messages));
  }
  return Json{{"count", ids.size()}, {"max_model_len", model.model.positions_max}, {"tokens", ids}};
}

Outcome<Json> detokenize(Services& services, const Json& body) {
  JsonFields fields(body);
  const auto name = fields.text("model");
  const Json* const tokens = fields.any("tokens");
  if (auto error = fields.finish()) return *std::move(error);
  if (tokens == nullptr || !tokens->is_array()) return bad_request("'tokens' must be a list of token ids", "tokens");
  TESSERA_TRY(const ModelWithText model, model_with_tokenizer(services, name));
  std::vector<TokenId> ids;
  for (const Json& token : *tokens) {
    const bool is_id = token.is_number_unsigned() && token.get<std::uint64_t>() < model.tokenizer->vocab_size();
    if (!is_id) {
      return bad_request("'tokens' must be ids from 0 to " + std::to_string(model.tokenizer->vocab_size() - 1) +
                             "; one is " + shortened(to_text(token)),
                         "tokens");
    }
    ids.push_back(token.get<TokenId>());
  }
  return Json{{"prompt", to_valid_utf8(model.tokenizer->decode(ids))}};
}

kj::Promise<void> answer(HttpCall& call, Services& services, Answer make) {
  return call.read_body().then([&call, &services, make = std::move(make)](Outcome<std::string> body) {
    return answer_json(call, services, [&services, make, body = std::move(body)]() -> Outcome<Json> {
      if (!body) return body.error();
      TESSERA_TRY(const Json json, parse_body(*body));
      return make(services, json);
    });
  });
}

}  // namespace

void add_tokenize_routes(Router& router, Services& services) {
  router.add("POST", "/tokenize", [&services](HttpCall& call) { return answer(call, services, tokenize); });
  router.add("POST", "/detokenize", [&services](HttpCall& call) { return answer(call, services, detokenize); });
}

}  // namespace tessera::gateway
