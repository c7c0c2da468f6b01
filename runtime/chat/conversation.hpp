// What every conversation with a model has in common, wherever it is held: what its template is told of the tokenizer,
// and how the rendered prompt becomes tokens.
#pragma once

#include <chrono>
#include <vector>

#include "runtime/chat/chat_template.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

/// Without messages yet: the names of BOS and EOS from the tokenizer (may be null), and the time, which templates may
/// show.
ChatInput start_chat(const Tokenizer* tokenizer, std::chrono::local_seconds now);

/// The prompt as tokens: names of special tokens count as tokens, and none is added. Errors: those of render().
Result<std::vector<TokenId>> chat_tokens(const ChatTemplate& chat, const ChatInput& input, const Tokenizer& tokenizer);

}  // namespace tessera
