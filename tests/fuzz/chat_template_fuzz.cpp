// Chat templates. Input: a template, then optionally "CHAT:" and the JSON of a conversation: an array of messages, or
// an object whose members are the variables. What is accepted renders or fails with an error that names the template,
// in bounded time and memory, to valid UTF-8, and twice the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/ensure.hpp"
#include "runtime/chat/chat_template.hpp"
#include "runtime/text/jinja/limits.hpp"
#include "runtime/text/utf8.hpp"

namespace {

using namespace tessera;
using Json = nlohmann::ordered_json;

ChatInput input_of(std::string_view json) {
  ChatInput input;
  input.messages = Json::parse(R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Héllo <b>"},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "abcdef123", "function": {"name": "f", "arguments": {"x": [1, 2.5]}}}]},
    {"role": "tool", "content": "42"}])");
  input.tools = Json::parse(
      R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}])");
  input.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  Json given = Json::parse(json, nullptr, false);
  if (given.is_array())
    input.messages = std::move(given);
  else if (given.is_object())
    input.variables = std::move(given);
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view separator = "CHAT:";
  constexpr std::size_t again_bytes_max = std::size_t{1} << 16;  // a long output takes seconds under the sanitizers
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.rfind(separator), input.size());
  const auto chat = ChatTemplate::parse(input.substr(0, end), "input");
  if (!chat) {
    TESSERA_ENSURE(chat.error().message.starts_with("input"));
    return 0;
  }
  const ChatInput conversation = input_of(end == input.size() ? "" : input.substr(end + separator.size()));
  const auto text = chat->render(conversation);
  if (text) {
    TESSERA_ENSURE(text->size() <= limits::template_output_bytes_max && to_valid_utf8(*text) == *text);
    if (size < 200 && text->size() < again_bytes_max) TESSERA_ENSURE(*chat->render(conversation) == *text);
  } else {
    TESSERA_ENSURE(text.error().message.starts_with("input"));
  }
  return 0;
}
