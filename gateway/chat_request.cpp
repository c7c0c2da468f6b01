#include "gateway/chat_request.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace tessera::gateway {

namespace {

constexpr std::array<std::string_view, 6> roles{"developer", "system", "user", "assistant", "tool", "function"};

/// One part of a message: only text can be read.
Outcome<std::string> part_text(const Json& part, const std::string& where) {
  if (!part.is_object() || !part.contains("type") || !part["type"].is_string())
    return bad_request("'" + where + R"(' must be an object such as {"type": "text", "text": "…"})", where);
  const std::string type = part["type"].get<std::string>();
  if (type != "text") return not_supported(where + ".type", "Content of the type '" + shortened(type) + "' is");
  if (!part.contains("text") || !part["text"].is_string())
    return bad_request("'" + where + ".text' must be a string", where + ".text");
  return part["text"].get<std::string>();
}

Outcome<std::string> content_text(const Json& message, const std::string& where) {
  const auto found = message.find("content");
  if (found == message.end() || found->is_null())
    return bad_request("'" + where + ".content' is missing", where + ".content");
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) {
    return bad_request("'" + where + ".content' must be a string or a list of parts, not " + kind_of(*found),
                       where + ".content", "invalid_type");
  }
  std::string text;
  for (std::size_t i = 0; i < found->size(); ++i) {
    auto part = part_text((*found)[i], where + ".content[" + std::to_string(i) + "]");
    if (!part) return part.error();
    text += *part;
  }
  return text;
}

Outcome<Json> read_message(const Json& message, const std::string& where) {
  if (!message.is_object()) return bad_request("'" + where + "' must be an object, not " + kind_of(message), where);
  JsonFields fields(message);
  const std::string role = fields.text("role").value_or("");
  fields.accept("content");
  const auto name = fields.text("name");
  for (const char* const key : {"tool_calls", "function_call", "tool_call_id", "audio"}) {
    fields.refuse_unless(key, {Json::array()}, "Tools and audio in messages are");
  }
  fields.refuse_unless("refusal", {""}, "Refusals in messages are");
  if (auto error = fields.finish()) {
    error->param = where + (error->param ? "." + *error->param : "");
    return *std::move(error);
  }
  if (std::ranges::find(roles, role) == roles.end()) {
    return bad_request(
        "'" + where + ".role' is '" + shortened(role) + "'; it must be one of developer, system, user and assistant",
        where + ".role");
  }
  if (role == "tool" || role == "function") return not_supported(where + ".role", "Answers of tools are");
  auto content = content_text(message, where);
  if (!content) return content.error();
  // Templates know the developer by the older name.
  Json result{{"role", role == "developer" ? "system" : role}, {"content", *std::move(content)}};
  if (name) result["name"] = *name;
  return result;
}

void read_tokens_max(JsonFields& fields, GenerationFields& out) {
  const auto old_name = fields.integer("max_tokens", 1, tokens_max_max);
  const auto name = fields.integer("max_completion_tokens", 1, tokens_max_max);
  if (old_name && name && *old_name != *name) {
    fields.fail(bad_request("'max_tokens' and 'max_completion_tokens' differ; give one of them", "max_tokens"));
  }
  if (const auto tokens = name ? name : old_name) out.tokens_max = static_cast<std::uint32_t>(*tokens);
}

void refuse_what_is_missing(JsonFields& fields) {
  const Json nothing = Json::array();
  fields.refuse_unless("response_format", {Json{{"type", "text"}}}, "Structured output is");
  fields.refuse_unless("tools", {nothing}, "Tools are");
  fields.refuse_unless("functions", {nothing}, "Functions are");
  fields.refuse_unless("tool_choice", {"none", "auto"}, "Choosing a tool is");
  fields.refuse_unless("function_call", {"none", "auto"}, "Choosing a function is");
  fields.accept("parallel_tool_calls");  // without tools there is nothing to do in parallel
  fields.refuse_unless("modalities", {Json::array({"text"})}, "Output other than text is");
  fields.refuse_unless("audio", {}, "Audio is");
  fields.refuse_unless("prediction", {}, "Predicted output is");
  fields.refuse_unless("reasoning_effort", {}, "Choosing how much to reason is");
  fields.refuse_unless("verbosity", {}, "Choosing a verbosity is");
  fields.refuse_unless("web_search_options", {}, "Searching the web is");
}

}  // namespace

Outcome<Json> read_messages(const Json* list) {
  if (list == nullptr) return bad_request("'messages' is missing", "messages");
  if (!list->is_array() || list->empty())
    return bad_request(R"('messages' must be a list such as [{"role": "user", "content": "Hello"}])", "messages");
  if (list->size() > messages_max) {
    return bad_request(
        "'messages' has " + std::to_string(list->size()) + " entries; give at most " + std::to_string(messages_max),
        "messages");
  }
  Json messages = Json::array();
  for (std::size_t i = 0; i < list->size(); ++i) {
    TESSERA_TRY(Json message, read_message((*list)[i], "messages[" + std::to_string(i) + "]"));
    messages.push_back(std::move(message));
  }
  return messages;
}

Outcome<ChatRequest> parse_chat(const Json& body) {
  JsonFields fields(body);
  ChatRequest request;
  request.generation = read_generation_fields(fields);
  const Json* const messages = fields.any("messages");
  read_tokens_max(fields, request.generation);
  request.logprobs = fields.flag("logprobs").value_or(false);
  request.top_logprobs = static_cast<std::uint32_t>(fields.integer("top_logprobs", 0, 20).value_or(0));
  if (request.top_logprobs > 0 && !request.logprobs)
    fields.fail(bad_request("'top_logprobs' needs 'logprobs': true", "top_logprobs"));
  if (const Json* const variables = fields.any("chat_template_kwargs")) {
    if (variables->is_object()) {
      request.template_variables = *variables;
    } else {
      fields.fail(bad_request("'chat_template_kwargs' must be an object, not " + kind_of(*variables),
                              "chat_template_kwargs", "invalid_type"));
    }
  }
  refuse_what_is_missing(fields);
  if (auto error = fields.finish()) return *std::move(error);
  TESSERA_TRY(request.messages, read_messages(messages));
  return request;
}

}  // namespace tessera::gateway
