#include "runtime/chat/conversation.hpp"

namespace tessera {

ChatInput start_chat(const Tokenizer* tokenizer, std::chrono::local_seconds now) {
  ChatInput input;
  input.now = now;
  if (tokenizer == nullptr) return input;
  const TokenizerData& data = tokenizer->data();
  if (data.bos >= 0) input.variables["bos_token"] = data.pieces[static_cast<std::size_t>(data.bos)];
  if (!data.eos.empty()) input.variables["eos_token"] = data.pieces[static_cast<std::size_t>(data.eos.front())];
  return input;
}

Result<std::vector<TokenId>> chat_tokens(const ChatTemplate& chat, const ChatInput& input, const Tokenizer& tokenizer) {
  TESSERA_TRY(const std::string prompt, chat.render(input));
  return tokenizer.encode(prompt, {.add_bos = false, .parse_special = true});
}

}  // namespace tessera
