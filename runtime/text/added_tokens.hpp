// AddedTokens: tokens that are found in text by their names, and the text between them.
//
//   "<s>hi</s>" → token 1, text "hi", token 2
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/text/piece_trie.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// Immutable after construction; any thread. Keeps views of the tokens, which must outlive it.
class AddedTokens {
 public:
  /// Text, or a token: then id ≥ 0 and `text` is its name.
  struct Fragment {
    std::string_view text;
    TokenId id = -1;
  };

  AddedTokens() = default;
  /// Of `tokens` those for which `normalized` is as given, under the names in `names` (one for each token; empty ones
  /// are never found).
  AddedTokens(std::span<const AddedToken> tokens, std::span<const std::string_view> names, bool normalized);

  /// The fragments of `text` in order, no text empty: at each place the longest token. Special tokens only where
  /// `with_special`. Linear in the text, times the length of the longest name.
  std::vector<Fragment> split(std::string_view text, bool with_special) const;

  /// The names, for texts that a normalizer must leave alone.
  const PieceTrie& names() const { return trie_; }

 private:
  std::span<const AddedToken> tokens_;
  PieceTrie trie_;  // to places in tokens_
};

}  // namespace tessera
