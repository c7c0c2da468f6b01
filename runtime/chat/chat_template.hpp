// ChatTemplate: a conversation becomes the prompt that a model was trained on. Every model brings its own template, a
// program in the language Jinja; this runs it as Hugging Face transformers does, byte for byte.
//
//   TESSERA_TRY(auto chat, ChatTemplate::parse(manifest.chat_template, "m.h5: its chat template"));
//   ChatInput input;
//   input.messages = json::parse(R"([{"role": "user", "content": "Hello"}])");
//   input.variables["bos_token"] = "<s>";
//   TESSERA_TRY(std::string prompt, chat.render(input));
//
// A template comes out of a file from anywhere, so it gets nothing but the conversation, and is bounded in steps,
// memory, depth and output (jinja/limits.hpp): a hostile one ends with an error within about a second.
// docs/decisions/0015-chat-templates.md has the reasons.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/result.hpp"

namespace tessera {

namespace jinja {
struct Template;
}

/// What a template sees. JSON keeps the order of keys, as templates print them.
struct ChatInput {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();  ///< [{"role": …, "content": …}, …]
  nlohmann::ordered_json tools;                                       ///< an array of definitions; null: none
  nlohmann::ordered_json documents;                                   ///< of retrieval; null: none
  bool add_generation_prompt = true;                                  ///< ends with the head of the assistant's answer
  /// More variables by name: bos_token, eos_token, enable_thinking, date_string …
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();
  /// What strftime_now() shows, in the zone of the user.
  std::chrono::local_seconds now{};
};

/// Immutable, any thread.
class ChatTemplate {
 public:
  /// `where` begins every message. Errors: corrupt (with line and cause), unsupported, exhausted (a limit).
  static Result<ChatTemplate> parse(std::string_view source, std::string where);

  /// Errors: invalid_argument, where template and conversation do not fit or the template refuses it (its own words are
  /// in the message), and exhausted, for a limit; with the template's line. Valid UTF-8.
  Result<std::string> render(const ChatInput& input) const;

  const std::string& source() const { return source_; }

 private:
  ChatTemplate(std::shared_ptr<const jinja::Template> parsed, std::string source, std::string where);
  std::shared_ptr<const jinja::Template> parsed_;
  std::string source_, where_;
};

}  // namespace tessera
