// Conversations on the command line: the options that `run --chat` and `chat-template` share, and how a conversation
// becomes a prompt.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/result.hpp"
#include "runtime/chat/conversation.hpp"
#include "runtime/text/tokenizer.hpp"

namespace CLI {
class App;
}

namespace tessera::app {

struct ChatOptions {
  bool chat = false;
  std::string system;
  std::string messages, tools;         ///< files
  std::string template_name;           ///< of several templates; empty: as the conversation needs it
  std::vector<std::string> variables;  ///< NAME=VALUE as written
  bool enabled() const { return chat || !messages.empty(); }
};

/// --system, --messages, --tools, --var, --template
void add_chat_options(CLI::App& command, ChatOptions& options);

/// What every prompt of a conversation has in common: tools, variables, the names of BOS and EOS from the tokenizer
/// (may be null), the time. Its messages are those of the file, or the system message, if any.
Result<ChatInput> start_conversation(const ChatOptions& options, const Tokenizer* tokenizer);

/// The template of a checkpoint; an error that says how to get one, where it has none.
Result<ChatTemplate> chat_template_of(const std::string& text, const std::string& path);

}  // namespace tessera::app
