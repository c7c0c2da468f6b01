#include "gateway/generation_plan.hpp"

#include <algorithm>
#include <limits>

#include "runtime/chat/conversation.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::gateway {

namespace {

constexpr std::size_t fingerprint_digits = 16;

std::optional<ApiError> check_ids(const ModelWithText& model, const std::vector<TokenId>& ids) {
  if (!model.tokenizer) return {};  // the model's conductor checks them
  for (const TokenId id : ids) {
    if (static_cast<std::uint32_t>(id) < model.tokenizer->vocab_size()) continue;
    return bad_request("token id " + std::to_string(id) + " is outside the vocabulary of " + model.model.name +
                           " (0 to " + std::to_string(model.tokenizer->vocab_size() - 1) + ")",
                       "prompt");
  }
  return {};
}

/// The tokens that fit behind the prompt; none can be computed at a position that the cache has not, but one can be
/// sampled behind the last.
Outcome<std::uint32_t> tokens_max(const ServedModel& model, std::size_t prompt, std::optional<std::uint32_t> asked,
                                  const char* param) {
  if (!model.has_head) {
    return bad_request("the model " + model.name + " gives vectors of texts (POST /v1/embeddings), but no text",
                       "model", "model_not_supported");
  }
  if (prompt > model.positions_max) {
    const bool by_cache = model.positions_max < model.context_length;
    return bad_request("This model's maximum context length is " + std::to_string(model.positions_max) + " tokens" +
                           (by_cache ? " (its deployment has no more positions in the KV cache)" : "") +
                           "; the prompt has " + std::to_string(prompt) + ". Please shorten it",
                       param, "context_length_exceeded");
  }
  const auto room = static_cast<std::uint32_t>(model.positions_max - prompt + 1);
  return std::min(asked.value_or(room), room);
}

StreamSpec stream_spec(const ModelWithText& model, const GenerationFields& generation, std::vector<TokenId> prompt) {
  StreamSpec spec;
  spec.model = model.model.name;
  spec.prompt = std::move(prompt);
  spec.sampling = generation.sampling;
  spec.stop = generation.stop;
  spec.priority = generation.priority;
  spec.session = generation.session;
  spec.timeout = generation.timeout;
  spec.tokenizer = model.tokenizer;
  if (!generation.ignore_eos && model.tokenizer) spec.end_tokens = model.tokenizer->data().eos;
  return spec;
}

ReplyFacts reply_facts(const ModelWithText& model, const GenerationFields& generation, const ReplyIdentity& identity,
                       const char* prefix) {
  ReplyFacts facts;
  facts.id = prefix + identity.id;
  facts.created_unix_s = identity.created_unix_s;
  facts.model = generation.model;
  facts.fingerprint = fingerprint(model.model);
  facts.include_usage = generation.include_usage;
  facts.return_token_ids = generation.return_token_ids;
  return facts;
}

/// One choice becomes n, each of which draws for itself.
void add_choices(GenerationPlan& plan, PlannedChoice choice, std::uint32_t count) {
  plan.prompt_tokens += choice.spec.prompt.size();
  for (std::uint32_t i = 0; i < count; ++i) {
    choice.spec.sampling.choice = i;
    plan.choices.push_back(choice);
  }
}

std::optional<ApiError> check_choices(std::size_t prompts, std::uint32_t n, std::size_t choices_max) {
  if (prompts * n <= choices_max) return {};
  return bad_request("the request asks for " + std::to_string(prompts * n) +
                         " completions; this server gives at most " + std::to_string(choices_max) + " at once",
                     "n");
}

/// The seed for all choices, given or drawn.
void settle_seed(ModelSource& source, GenerationFields& generation, GenerationPlan& plan) {
  if (!generation.seed_given) generation.sampling.seed = source.draw_seed();
  plan.seed = generation.sampling.seed;
}

Outcome<std::vector<TokenId>> prompt_ids(const ModelWithText& model, const CompletionPrompt& prompt) {
  if (!prompt.is_text) {
    if (auto error = check_ids(model, prompt.ids)) return *std::move(error);
    return prompt.ids;
  }
  if (!model.tokenizer)
    return bad_request("the model " + model.model.name + " has no tokenizer; give the prompt as token ids", "prompt");
  std::vector<TokenId> ids = model.tokenizer->encode(prompt.text, {.add_bos = true});
  if (ids.empty())
    return bad_request("the prompt is empty and the model has no start token; give at least one character", "prompt");
  return ids;
}

/// What the row says, as tokens.
Outcome<std::vector<TokenId>> row_ids(const ModelWithText& model, const PromptRow& row,
                                      std::chrono::local_seconds now) {
  if (!model.tokenizer) {
    return bad_request("the model " + model.model.name +
                       " has no tokenizer, so it takes no text; give it token ids by /v1/completions");
  }
  if (!row.messages.is_null()) return chat_prompt(model, row.messages, Json::object(), now);
  if (row.is_said && model.chat) {
    return chat_prompt(model, Json::array({Json{{"role", "user"}, {"content", to_valid_utf8(row.text)}}}),
                       Json::object(), now);
  }
  return prompt_ids(model, {row.text});
}

Outcome<PlannedChoice> row_choice(const ModelWithText& model, const PromptRow& row, std::uint64_t drawn_seed,
                                  std::chrono::local_seconds now) {
  TESSERA_TRY(std::vector<TokenId> ids, row_ids(model, row, now));
  if (ids.empty()) return bad_request("the messages become an empty prompt");
  TESSERA_TRY(const std::uint32_t room, tokens_max(model.model, ids.size(), row.parameters.tokens_max, "text"));
  PlannedChoice choice{stream_spec(model, row.parameters, std::move(ids)), {}, false};
  choice.spec.tokens_max = room;
  if (!row.parameters.seed_given) choice.spec.sampling.seed = drawn_seed;
  return choice;
}

}  // namespace

Outcome<ModelWithText> find_model(ModelSource& source, const std::string& name) {
  auto found = source.find(name);
  if (found) return *std::move(found);
  if (found.error().code == ErrorCode::not_found) return model_not_found(name);
  return to_api_error(found.error());
}

Outcome<ServedModel> find_served(ModelSource& source, const std::string& name) {
  const auto models = source.list();
  if (!models) return to_api_error(models.error());
  const auto found = std::ranges::find(*models, name, &ServedModel::name);
  if (found != models->end()) return *found;
  // Why it is not listed: there is none, or whoever asks may not use it, or it has just come.
  TESSERA_TRY(const ModelWithText model, find_model(source, name));
  return model.model;
}

Outcome<std::vector<TokenId>> chat_prompt(const ModelWithText& model, const Json& messages, const Json& variables,
                                          std::chrono::local_seconds now) {
  if (!model.chat || !model.tokenizer) {
    return bad_request("the model " + model.model.name +
                           " has no chat template, so it cannot chat; use /v1/completions, or import the model with "
                           "--chat-template FILE",
                       "model", "no_chat_template");
  }
  ChatInput input = start_chat(model.tokenizer.get(), now);
  input.messages = messages;
  for (const auto& [name, value] : variables.items()) input.variables[name] = value;
  auto ids = chat_tokens(*model.chat, input, *model.tokenizer);
  if (ids) return *std::move(ids);
  ApiError error =
      ids.error().code == ErrorCode::exhausted ? bad_request(ids.error().message) : to_api_error(ids.error());
  error.param = "messages";
  return error;
}

Outcome<GenerationPlan> plan_rows(ModelSource& source, const ModelWithText& model, const std::vector<PromptRow>& rows,
                                  std::unique_ptr<GenerationReply> reply, std::size_t choices_max,
                                  std::chrono::local_seconds now) {
  if (rows.size() > choices_max) {
    return bad_request("the request has " + std::to_string(rows.size()) + " texts; this server answers at most " +
                       std::to_string(choices_max) + " at once");
  }
  GenerationPlan plan;
  plan.reply = std::move(reply);
  // Rows that name no seed draw from one, so that a row says the same whatever rows are beside it.
  const std::uint64_t drawn = source.draw_seed();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto choice = row_choice(model, rows[i], drawn, now);
    if (!choice) {
      ApiError error = choice.error();
      if (rows.size() > 1) error.message = "row " + std::to_string(i) + ": " + error.message;
      return error;
    }
    add_choices(plan, *std::move(choice), 1);
  }
  plan.seed = plan.choices.front().spec.sampling.seed;
  return plan;
}

std::string fingerprint(const ServedModel& model) {
  return model.profile + "_" + model.content_id.substr(0, fingerprint_digits);
}

Outcome<GenerationPlan> plan_completion(ModelSource& source, const CompletionRequest& request,
                                        const ReplyIdentity& identity, std::size_t choices_max) {
  auto model = find_model(source, request.generation.model);
  if (!model) return model.error();
  if (auto error = check_choices(request.prompts.size(), request.generation.choices, choices_max))
    return *std::move(error);
  const bool scores = request.echo && request.logprobs;
  if (scores && request.generation.stream)
    return not_supported("echo", "Log-probabilities of an echoed prompt in a stream are");
  GenerationFields generation = request.generation;
  GenerationPlan plan;
  plan.stream = generation.stream;
  settle_seed(source, generation, plan);
  ReplyFacts facts = reply_facts(*model, generation, identity, "cmpl-");
  facts.logprobs = request.logprobs.has_value();
  facts.alternatives = request.logprobs.value_or(0);
  plan.reply = make_reply(make_text_reply(std::move(facts)));
  for (const CompletionPrompt& prompt : request.prompts) {
    auto ids = prompt_ids(*model, prompt);
    if (!ids) return ids.error();
    PlannedChoice choice{stream_spec(*model, generation, *std::move(ids)), {}, scores};
    const auto room = tokens_max(model->model, choice.spec.prompt.size(), generation.tokens_max, "prompt");
    if (!room) return room.error();
    choice.spec.tokens_max = *room;
    choice.spec.score_prompt = scores;
    choice.spec.alternatives = request.logprobs.value_or(0);
    if (request.echo) {
      const Tokenizer* const tokenizer = model->tokenizer.get();
      if (scores && tokenizer == nullptr)
        return bad_request("the model " + model->model.name + " has no tokenizer, so its prompt cannot be echoed",
                           "echo");
      choice.echo = prompt.is_text ? prompt.text : tokenizer ? tokenizer->decode(choice.spec.prompt) : std::string();
    }
    add_choices(plan, std::move(choice), generation.choices);
  }
  return plan;
}

Outcome<GenerationPlan> plan_chat(ModelSource& source, const ChatRequest& request, const ReplyIdentity& identity,
                                  std::size_t choices_max, std::chrono::local_seconds now) {
  auto model = find_model(source, request.generation.model);
  if (!model) return model.error();
  if (auto error = check_choices(1, request.generation.choices, choices_max)) return *std::move(error);
  auto ids = chat_prompt(*model, request.messages, request.template_variables, now);
  if (!ids) return ids.error();
  if (ids->empty()) return bad_request("the conversation becomes an empty prompt", "messages");
  GenerationFields generation = request.generation;
  GenerationPlan plan;
  plan.stream = generation.stream;
  settle_seed(source, generation, plan);
  ReplyFacts facts = reply_facts(*model, generation, identity, "chatcmpl-");
  facts.logprobs = request.logprobs;
  facts.alternatives = request.top_logprobs;
  plan.reply = make_reply(make_chat_reply(std::move(facts)));
  PlannedChoice choice{stream_spec(*model, generation, *std::move(ids)), {}, false};
  const auto room = tokens_max(model->model, choice.spec.prompt.size(), generation.tokens_max, "messages");
  if (!room) return room.error();
  choice.spec.tokens_max = *room;
  choice.spec.alternatives = request.top_logprobs;
  add_choices(plan, std::move(choice), generation.choices);
  return plan;
}

}  // namespace tessera::gateway
