// ChatTemplate: a conversation becomes the prompt that a model was trained on. Every model brings its own template, a
// program in the language Jinja; this runs it as Hugging Face transformers does, byte for byte.
//
//   TESSERA_TRY(auto chat, ChatTemplate::parse(manifest.chat_template, "m.h5: its chat template"));
//   ChatInput input;
//   input.messages = json::parse(R"([{"role": "user", "content": "Hello"}])");
//   input.variables["bos_token"] = "<s>";
//   TESSERA_TRY(std::string prompt, chat.render(input));
//
// Some models bring several, by names: "default", "tool_use", "rag". All of them are one text then, the JSON list that
// tokenizer_config.json has: [{"name": "default", "template": "…"}, …].
//
// A template comes out of a file from anywhere, so it gets nothing but the conversation, and is bounded in steps,
// memory, depth and output (jinja/limits.hpp): a hostile one ends with an error within about a second.
// docs/decisions/0015-chat-templates.md has the reasons.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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
  /// Of several templates; empty: "tool_use" where there are tools and a template of that name, else "default".
  std::string template_name;
};

namespace limits {
/// Templates that one model may have.
inline constexpr std::size_t chat_templates_max = 16;
}  // namespace limits

/// One of several templates of a model.
struct NamedTemplate {
  std::string name, source;
  bool operator==(const NamedTemplate&) const = default;
};
/// The templates in a text; a text that is no list of them is the one called "default". Any thread.
std::vector<NamedTemplate> split_chat_templates(std::string_view text);
/// The text that holds them: the list, or, of "default" alone, its source. Names are different.
std::string join_chat_templates(const std::vector<NamedTemplate>& templates);

/// Immutable, any thread.
class ChatTemplate {
 public:
  /// `where` begins every message. Errors: corrupt (with line and cause; also several templates without a "default"),
  /// unsupported, exhausted (a limit).
  static Result<ChatTemplate> parse(std::string_view source, std::string where);

  /// Errors: invalid_argument, where template and conversation do not fit or the template refuses it (its own words are
  /// in the message, also a template_name that it has not), and exhausted, for a limit; with the template's line. Valid
  /// UTF-8.
  Result<std::string> render(const ChatInput& input) const;

  const std::string& source() const { return source_; }

 private:
  struct Parsed {
    std::string name, where;
    std::shared_ptr<const jinja::Template> parsed;
  };
  ChatTemplate(std::vector<Parsed> templates, std::string source, std::string where);
  const Parsed* find(std::string_view name) const;
  Result<const Parsed*> choose(const ChatInput& input) const;

  std::vector<Parsed> templates_;
  std::string source_, where_;
};

}  // namespace tessera
