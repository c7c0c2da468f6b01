// Renders what the Python tests ask for. Each line of standard input is one JSON object
//   {"template": …, "messages": …, "tools": …, "documents": …, "add_generation_prompt": …, "variables": {…}, "now":
//   seconds}
// where a missing template is the last one's, and each line of the output its answer: {"text": …} or {"error": …,
// "code": …}.
#include <chrono>
#include <iostream>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "runtime/chat/chat_template.hpp"

namespace {

using Json = nlohmann::ordered_json;
using namespace tessera;

Result<std::string> render(const Json& request, std::optional<Result<ChatTemplate>>& chat) {
  if (request.contains("template"))
    chat = ChatTemplate::parse(request["template"].get_ref<const std::string&>(), "template");
  if (!*chat) return chat->error();
  ChatInput input;
  if (request.contains("messages")) input.messages = request["messages"];
  if (request.contains("tools")) input.tools = request["tools"];
  if (request.contains("documents")) input.documents = request["documents"];
  input.add_generation_prompt = request.value("add_generation_prompt", true);
  if (request.contains("variables")) input.variables = request["variables"];
  input.now = std::chrono::local_seconds(std::chrono::seconds(request.value("now", std::int64_t{0})));
  return (*chat)->render(input);
}

}  // namespace

int main() {
  std::optional<Result<ChatTemplate>> chat;
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = render(Json::parse(line), chat);
    const Json answer =
        text ? Json{{"text", *text}} : Json{{"error", text.error().message}, {"code", to_string(text.error().code)}};
    std::cout << answer.dump() << "\n";
  }
  return 0;
}
