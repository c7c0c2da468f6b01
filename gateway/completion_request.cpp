#include "gateway/completion_request.hpp"

#include <limits>

namespace tessera::gateway {

namespace {

ApiError wrong_prompt(const std::string& field, const std::string& why) {
  return bad_request(
      "'" + field + "' must be a string, a list of strings, a list of token ids, or a list of such lists" + why, field);
}

bool is_id(const Json& value) {
  return value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > INT32_MAX) &&
         value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() <= INT32_MAX;
}

Outcome<CompletionPrompt> token_prompt(const Json& list, const std::string& field) {
  CompletionPrompt prompt;
  prompt.is_text = false;
  if (list.empty()) return bad_request("a list of token ids in '" + field + "' is empty; give at least one", field);
  for (const Json& id : list) {
    if (!is_id(id)) return wrong_prompt(field, "; one of its token ids is " + kind_of(id) + " that is no id");
    prompt.ids.push_back(id.get<TokenId>());
  }
  return prompt;
}

Outcome<CompletionPrompt> one_prompt(const Json& value, const std::string& field) {
  if (value.is_string()) return CompletionPrompt{value.get<std::string>()};
  if (value.is_array()) return token_prompt(value, field);
  return wrong_prompt(field, "; one of them is " + kind_of(value));
}

}  // namespace

Outcome<std::vector<CompletionPrompt>> read_prompts(const Json* value, const std::string& field) {
  std::vector<CompletionPrompt> prompts;
  if (value == nullptr) return bad_request("'" + field + "' is missing", field);
  if (value->is_string()) {
    prompts.push_back({value->get<std::string>()});
    return prompts;
  }
  if (!value->is_array()) return wrong_prompt(field, ", not " + kind_of(*value));
  if (value->empty()) return bad_request("'" + field + "' is an empty list", field);
  if (value->front().is_number()) {
    TESSERA_TRY(CompletionPrompt prompt, token_prompt(*value, field));
    prompts.push_back(std::move(prompt));
    return prompts;
  }
  if (value->size() > prompts_max) {
    return bad_request(
        "'" + field + "' has " + std::to_string(value->size()) + " texts; give at most " + std::to_string(prompts_max),
        field);
  }
  for (const Json& each : *value) {
    TESSERA_TRY(CompletionPrompt prompt, one_prompt(each, field));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

Outcome<CompletionRequest> parse_completion(const Json& body) {
  JsonFields fields(body);
  CompletionRequest request;
  request.generation = read_generation_fields(fields);
  const Json* const prompt = fields.any("prompt");
  request.generation.tokens_max =
      static_cast<std::uint32_t>(fields.integer("max_tokens", 0, tokens_max_max).value_or(completion_tokens_default));
  request.echo = fields.flag("echo").value_or(false);
  if (const auto logprobs = fields.integer("logprobs", 0, 5)) request.logprobs = static_cast<std::uint32_t>(*logprobs);
  const auto best_of = fields.integer("best_of", 1, 20);
  if (best_of && *best_of != request.generation.choices)
    fields.fail(
        not_supported("best_of", "Choosing among more completions than are returned (best_of other than n) is"));
  fields.refuse_unless("suffix", {""}, "Text behind the completion is");
  if (auto error = fields.finish()) return *std::move(error);
  auto prompts = read_prompts(prompt, "prompt");
  if (!prompts) return prompts.error();
  request.prompts = *std::move(prompts);
  return request;
}

}  // namespace tessera::gateway
