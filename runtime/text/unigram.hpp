// Unigram: of all ways to cut a text into pieces the one with the best sum of scores (T. Kudo, "Subword
// Regularization", 2018), found by A. Viterbi's algorithm. User-defined pieces get a score that makes them win, and a
// character without a piece costs 10 below the worst score, as in SentencePiece.
//
// Our own, not the sentencepiece library: that one aborts the process on data that it does not expect, keeps a second
// copy of the vocabulary, and cannot take vocabularies from tokenizer.json or GGUF.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/joints.hpp"
#include "runtime/text/piece_trie.hpp"
#include "runtime/text/tokenizer_data.hpp"
#include "runtime/text/word_cache.hpp"

namespace tessera {

/// Immutable after creation; any thread, with a scratch of its own. Keeps views of `data`, which must outlive it.
class Unigram {
 public:
  /// One for a text; used for all its words with the same vector of ids.
  class Scratch {
   private:
    friend class Unigram;
    /// The best way to a place in the run.
    struct Node {
      double score = 0;
      std::size_t begin = 0;  // of its last piece
      TokenId id = -1;        // of its last piece; -1: unknown
      bool reached = false;
    };

    std::vector<Node> nodes_;
    std::vector<std::size_t> ends_;
    WordCache cache_;
    bool after_unknown_ = false;
    bool saw_unknown_ = false;
  };

  Unigram() = default;
  /// `usable[id]`: whether plain text may become this piece. `data` is checked.
  Unigram(const TokenizerData& data, const std::vector<bool>& usable);

  /// Appends the ids of `word`. Time is linear in it, times the length of the longest piece.
  void encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const;

 private:
  void encode_run(std::string_view run, Scratch& scratch, std::vector<TokenId>& ids) const;
  void find_best(std::string_view run, Scratch& scratch) const;
  void append_unknown(std::string_view text, Scratch& scratch, std::vector<TokenId>& ids) const;

  const TokenizerData* data_ = nullptr;
  PieceTrie trie_;
  std::vector<bool> user_defined_;
  Joints joints_;
  float best_score_ = 0;
  float unknown_score_ = 0;
};

}  // namespace tessera
