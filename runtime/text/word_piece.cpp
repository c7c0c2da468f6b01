#include "runtime/text/word_piece.hpp"

#include <utility>

#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

bool has_more_characters(std::string_view word, std::uint32_t characters_max) {
  std::uint32_t characters = 0;
  while (!word.empty()) {
    word.remove_prefix(first_code_point(word).length);
    if (++characters > characters_max) return true;
  }
  return false;
}

}  // namespace

WordPiece::WordPiece(const TokenizerData& data, const std::vector<bool>& usable) : data_(&data) {
  std::vector<PieceTrie::Entry> starts, continuations;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (!usable[id]) continue;
    const std::string_view piece = data.pieces[id];
    starts.emplace_back(piece, static_cast<TokenId>(id));
    if (piece.starts_with(continuation_mark)) {
      continuations.emplace_back(piece.substr(continuation_mark.size()), static_cast<TokenId>(id));
    }
  }
  starts_ = PieceTrie(std::move(starts));
  continuations_ = PieceTrie(std::move(continuations));
}

void WordPiece::encode(std::string_view word, std::vector<TokenId>& ids) const {
  const std::size_t first = ids.size();
  const bool too_long = data_->word_characters_max > 0 && has_more_characters(word, data_->word_characters_max);
  for (std::string_view rest = too_long ? std::string_view{} : word; !rest.empty();) {
    std::size_t longest = 0;
    TokenId best = -1;
    const PieceTrie& trie = rest.size() == word.size() ? starts_ : continuations_;
    trie.prefixes(rest, [&](std::size_t length, TokenId id) {
      // Not in the middle of a character.
      if (length < rest.size() && (static_cast<unsigned char>(rest[length]) & 0xC0) == 0x80) return;
      longest = length;
      best = id;
    });
    if (best < 0) break;
    ids.push_back(best);
    rest.remove_prefix(longest);
    if (rest.empty()) return;
  }
  ids.resize(first);
  if (data_->unknown >= 0 && !word.empty()) ids.push_back(data_->unknown);
}

}  // namespace tessera
