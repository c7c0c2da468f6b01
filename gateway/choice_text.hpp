// ChoiceText: the tokens of one choice, put beside the text that they became. A token is told only once its text is
// certain, so that a stop string takes the tokens that it consists of along, and an end token is none of the text's.
//
//   tokens   "Hel" "lo" "\nUs" "er:"        stop string "\nUser:"
//   text     Hello
//   told     "Hel" "lo"
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tessera/generation.hpp>

#include "cluster/control/stream.hpp"
#include "runtime/text/text_stream.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera::gateway {

/// What could have stood in the place of a token.
struct TextAlternative {
  std::string bytes;
  float log_probability = 0;
};

/// A token beside its text.
struct TextToken {
  TokenId id = 0;
  std::string bytes;                               ///< maybe part of a character
  std::optional<float> log_probability;            ///< none: the first token of a prompt
  std::size_t offset = 0;                          ///< characters (code points) of the text before it
  std::vector<TextAlternative> alternatives = {};  ///< the most probable first; of a prompt's first token none
};

/// What one event, or several, brought.
struct ChoicePiece {
  std::string text;               ///< valid UTF-8
  std::vector<TextToken> tokens;  ///< of texts that became certain
  std::vector<TokenId> ids;       ///< all that were sampled, also those of a stop string and the end token
  std::optional<client::FinishReason> finished;
};

/// One per choice; confined to one thread.
class ChoiceText {
 public:
  /// `tokenizer` may be null: then ids stand for text. `offset`: characters before the first token.
  ChoiceText(std::shared_ptr<const Tokenizer> tokenizer, TokenId last_prompt_token, std::vector<TokenId> end_tokens,
             std::size_t offset = 0);

  /// Adds what an event brings to `piece`.
  void take(const client::GenerateEvent& event, ChoicePiece& piece);
  /// Tokens so far, all of them.
  std::size_t tokens() const { return tokens_; }

 private:
  struct Waiting {
    TextToken token;
    std::size_t begin;  ///< bytes of the text before it
  };

  /// Bytes of U+FFFD that an unfinished character becomes when these bytes do not continue it.
  std::size_t given_up(std::string_view bytes) const;

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::vector<TokenId> end_tokens_;
  TokenId previous_;
  std::size_t tokens_ = 0;
  std::size_t characters_;   ///< of all tokens so far, and what stands before them
  TextStream unstopped_;     ///< the text as it would be without stop strings
  std::size_t bytes_ = 0;    ///< of that, so far
  std::size_t certain_ = 0;  ///< bytes of text that were told
  std::deque<Waiting> waiting_;
};

/// The tokens of a prompt as they stand in its text; log-probabilities from the second token on, if there are any.
std::vector<TextToken> prompt_tokens(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
                                     const std::vector<PromptScore>& scores);
/// Code points that begin in these bytes.
std::size_t count_characters(std::string_view bytes);

}  // namespace tessera::gateway
