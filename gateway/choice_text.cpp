#include "gateway/choice_text.hpp"

#include <algorithm>
#include <utility>

namespace tessera::gateway {

namespace {

std::string bytes_of(const Tokenizer* tokenizer, TokenId previous, TokenId id) {
  if (tokenizer == nullptr) return std::to_string(id) + " ";
  if (id < 0 || static_cast<std::uint32_t>(id) >= tokenizer->vocab_size()) return {};
  return std::string(tokenizer->decode_piece(previous, id));
}

/// Each as it would read in the token's place.
template <typename Alternatives>
std::vector<TextAlternative> texts_of(const Tokenizer* tokenizer, TokenId previous, const Alternatives& alternatives) {
  std::vector<TextAlternative> texts;
  for (const auto& each : alternatives)
    texts.push_back({bytes_of(tokenizer, previous, each.token), each.log_probability});
  return texts;
}

}  // namespace

std::size_t count_characters(std::string_view bytes) {
  return static_cast<std::size_t>(
      std::ranges::count_if(bytes, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) != 0x80u; }));
}

ChoiceText::ChoiceText(std::shared_ptr<const Tokenizer> tokenizer, TokenId last_prompt_token,
                       std::vector<TokenId> end_tokens, std::size_t offset)
    : tokenizer_(std::move(tokenizer)),
      end_tokens_(std::move(end_tokens)),
      previous_(last_prompt_token),
      characters_(offset) {}

std::size_t ChoiceText::given_up(std::string_view bytes) const {
  const bool continues = !bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0xC0u) == 0x80u;
  return continues ? 0 : TextStream(unstopped_).finish().size();
}

void ChoiceText::take(const client::GenerateEvent& event, ChoicePiece& piece) {
  using Kind = client::GenerateEvent::Kind;
  if (event.kind == Kind::resumed) return;
  if (event.kind == Kind::token) {
    ++tokens_;
    piece.ids.push_back(event.token);
    std::string bytes = bytes_of(tokenizer_.get(), previous_, event.token);
    const TokenId previous = std::exchange(previous_, event.token);
    if (std::ranges::find(end_tokens_, event.token) == end_tokens_.end()) {
      const std::size_t begin = bytes_ + given_up(bytes), offset = characters_;
      bytes_ += unstopped_.push(bytes).size();
      characters_ += count_characters(bytes);
      waiting_.push_back({{event.token, std::move(bytes), event.log_probability, offset,
                           texts_of(tokenizer_.get(), previous, event.alternatives)},
                          begin});
    }
  }
  piece.text += event.text;
  certain_ += event.text.size();
  const bool ended = event.kind == Kind::finished;
  const bool all = ended && event.reason != client::FinishReason::stop_string;
  while (!waiting_.empty() && (all || waiting_.front().begin < certain_ ||
                               (waiting_.front().token.bytes.empty() && waiting_.front().begin == certain_))) {
    piece.tokens.push_back(std::move(waiting_.front().token));
    waiting_.pop_front();
  }
  if (ended) piece.finished = event.reason;
}

std::vector<TextToken> prompt_tokens(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
                                     const std::vector<PromptScore>& scores) {
  std::vector<TextToken> tokens;
  TokenId previous = -1;
  std::size_t characters = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    TextToken token{ids[i], bytes_of(&tokenizer, previous, ids[i]), {}, characters};
    if (i > 0 && i <= scores.size()) {
      token.log_probability = scores[i - 1].log_probability;
      token.alternatives = texts_of(&tokenizer, previous, scores[i - 1].alternatives);
    }
    characters += count_characters(token.bytes);
    previous = ids[i];
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace tessera::gateway
