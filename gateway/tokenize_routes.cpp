// Tokens of a text, and text of tokens, by a model's own tokenizer:
//   POST /tokenize    {"model", "prompt" | "messages", "add_special_tokens"?}  → {"count", "max_model_len", "tokens"}
//   POST /detokenize  {"model", "tokens"}                                      → {"prompt"}
#include "gateway/chat_request.hpp"
#include "gateway/routes.hpp"
#include "gateway/sse.hpp"
#include "runtime/chat/conversation.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::gateway {

namespace {

using Answer = std::function<Outcome<Json>(Services&, const Json&)>;

Outcome<ModelWithText> find_model(Services& services, const std::optional<std::string>& name) {
  if (!name) return bad_request("you must provide a model: 'model' is missing", "model");
  auto model = services.models.find(*name);
  if (!model) return model.error().code == ErrorCode::not_found ? model_not_found(*name) : to_api_error(model.error());
  if (!model->tokenizer) return bad_request("the model " + *name + " has no tokenizer", "model", "no_tokenizer");
  return *std::move(model);
}

Outcome<std::vector<TokenId>> chat_ids(Services& services, const ModelWithText& model, const Json& messages) {
  if (!model.chat)
    return bad_request("the model " + model.model.name + " has no chat template", "model", "no_chat_template");
  const auto request = parse_chat(Json{{"model", model.model.name}, {"messages", messages}});
  if (!request) return request.error();
  ChatInput input = start_chat(model.tokenizer.get(), local_time(services.calendar.now()));
  input.messages = request->messages;
  auto ids = chat_tokens(*model.chat, input, *model.tokenizer);
  if (!ids) return bad_request(ids.error().message, "messages");
  return *std::move(ids);
}

Outcome<Json> tokenize(Services& services, const Json& body) {
  JsonFields fields(body);
  const auto name = fields.text("model");
  const auto prompt = fields.text("prompt");
  const Json* const messages = fields.any("messages");
  const bool add_bos = fields.flag("add_special_tokens").value_or(true);
  if (auto error = fields.finish()) return *std::move(error);
  if (prompt.has_value() == (messages != nullptr)) return bad_request("give one of 'prompt' and 'messages'", "prompt");
  const auto model = find_model(services, name);
  if (!model) return model.error();
  Outcome<std::vector<TokenId>> ids = std::vector<TokenId>();
  if (prompt) {
    *ids = model->tokenizer->encode(*prompt, {.add_bos = add_bos});
  } else {
    ids = chat_ids(services, *model, *messages);
  }
  if (!ids) return ids.error();
  return Json{{"count", ids->size()}, {"max_model_len", model->model.positions_max}, {"tokens", *ids}};
}

Outcome<Json> detokenize(Services& services, const Json& body) {
  JsonFields fields(body);
  const auto name = fields.text("model");
  const Json* const tokens = fields.any("tokens");
  if (auto error = fields.finish()) return *std::move(error);
  if (tokens == nullptr || !tokens->is_array()) return bad_request("'tokens' must be a list of token ids", "tokens");
  const auto model = find_model(services, name);
  if (!model) return model.error();
  std::vector<TokenId> ids;
  for (const Json& token : *tokens) {
    const bool is_id = token.is_number_unsigned() && token.get<std::uint64_t>() < model->tokenizer->vocab_size();
    if (!is_id) {
      return bad_request("'tokens' must be ids from 0 to " + std::to_string(model->tokenizer->vocab_size() - 1) +
                             "; one is " + shortened(to_text(token)),
                         "tokens");
    }
    ids.push_back(token.get<TokenId>());
  }
  return Json{{"prompt", to_valid_utf8(model->tokenizer->decode(ids))}};
}

kj::Promise<void> answer(HttpCall& call, Services& services, Answer make) {
  return call.read_body()
      .then([&services, make = std::move(make)](Outcome<std::string> body) -> kj::Promise<Outcome<Json>> {
        if (!body) return Outcome<Json>(body.error());
        return services.pool.run<Json>([&services, make, text = *std::move(body)]() -> Outcome<Json> {
          const auto json = parse_body(text);
          return json ? make(services, *json) : json.error();
        });
      })
      .then([&call](Outcome<Json> outcome) {
        return outcome ? call.send_json(200, to_text(*outcome)) : call.send_error(outcome.error());
      });
}

}  // namespace

void add_tokenize_routes(Router& router, Services& services) {
  router.add("POST", "/tokenize", [&services](HttpCall& call) { return answer(call, services, tokenize); });
  router.add("POST", "/detokenize", [&services](HttpCall& call) { return answer(call, services, detokenize); });
}

}  // namespace tessera::gateway
