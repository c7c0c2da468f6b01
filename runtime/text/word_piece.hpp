// WordPiece: words into pieces, always the longest that fits next (M. Schuster, K. Nakajima, "Japanese and Korean Voice
// Search", 2012; BERT). A piece inside a word is written "##ing". A word that does not come out even is one unknown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/piece_trie.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// What begins a piece that continues a word.
inline constexpr std::string_view continuation_mark = "##";

/// Immutable after creation; any thread. Keeps views of `data`, which must outlive it.
class WordPiece {
 public:
  WordPiece() = default;
  /// `usable[id]`: whether plain text may become this piece. `data` is checked.
  WordPiece(const TokenizerData& data, const std::vector<bool>& usable);

  /// Appends the ids of `word`. Time is linear in it, times the length of the longest piece.
  void encode(std::string_view word, std::vector<TokenId>& ids) const;

 private:
  const TokenizerData* data_ = nullptr;
  PieceTrie starts_, continuations_;
};

}  // namespace tessera
