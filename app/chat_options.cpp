#include "app/chat_options.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "app/run_options.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::app {

namespace {

using Json = nlohmann::ordered_json;

Result<Json> read_json(const std::string& path) {
  TESSERA_TRY(const std::string text, read_text_file(path));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Error{ErrorCode::corrupt, path + ": is not valid JSON"};
  return json;
}

/// An array of messages, or an object as chat APIs take it, with `messages` and perhaps `tools`.
Result<void> read_messages(const std::string& path, ChatInput& input) {
  TESSERA_TRY(Json json, read_json(path));
  if (json.is_object()) {
    if (json.contains("tools")) input.tools = json["tools"];
    if (!json.contains("messages")) return Error{ErrorCode::corrupt, path + ": has no 'messages'"};
    Json messages = json["messages"];
    json = std::move(messages);
  }
  if (!json.is_array()) {
    return Error{ErrorCode::corrupt, path + R"(: must be a list of messages: [{"role": "user", "content": "Hello"}])"};
  }
  input.messages = std::move(json);
  return {};
}

/// NAME=VALUE, where the value is JSON or else a text.
Result<void> add_variable(const std::string& text, ChatInput& input) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Error{ErrorCode::invalid_argument,
                 "--var " + text + ": write NAME=VALUE, for example enable_thinking=false"};
  }
  const std::string value = text.substr(equals + 1);
  Json json = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  input.variables[text.substr(0, equals)] = json.is_discarded() ? Json(value) : std::move(json);
  return {};
}

}  // namespace

void add_chat_options(CLI::App& command, ChatOptions& options) {
  const char* const group = "Chat";
  auto* const system =
      command.add_option("--system", options.system, "System message that the conversation begins with")->group(group);
  command
      .add_option(
          "--messages", options.messages,
          R"(Conversation as a JSON file: [{"role": "user", "content": "Hello"}], or an object with messages and tools)")
      ->group(group)
      ->excludes(system);
  command
      .add_option("--tools", options.tools, "Tools that the model may call, as a JSON file with a list of definitions")
      ->group(group);
  command
      .add_option("--template", options.template_name,
                  "Name of the chat template to use, where the model has several (default: tool_use with tools, else "
                  "default)")
      ->group(group);
  command
      .add_option("--var", options.variables,
                  "NAME=VALUE for the template, such as enable_thinking=false; may be repeated")
      ->group(group)
      ->expected(1)
      ->take_all();
}

Result<ChatInput> start_conversation(const ChatOptions& options, const Tokenizer* tokenizer) {
  ChatInput input = start_chat(tokenizer, local_time(SystemWallClock().now()));
  input.template_name = options.template_name;
  for (const std::string& variable : options.variables) TESSERA_CHECK(add_variable(variable, input));
  if (!options.messages.empty()) {
    TESSERA_CHECK(read_messages(options.messages, input));
  } else if (!options.system.empty()) {
    input.messages.push_back({{"role", "system"}, {"content", options.system}});
  }
  if (!options.tools.empty()) {
    TESSERA_TRY(input.tools, read_json(options.tools));
    if (!input.tools.is_array()) return Error{ErrorCode::corrupt, options.tools + ": must be a list of tools"};
  }
  return input;
}

Result<ChatTemplate> chat_template_of(const std::string& text, const std::string& path) {
  if (text.empty()) {
    return Error{ErrorCode::invalid_argument,
                 path +
                     ": has no chat template, so it cannot chat; import the model with --chat-template FILE, or leave "
                     "--chat out"};
  }
  return ChatTemplate::parse(text, path + ": chat template");
}

}  // namespace tessera::app
