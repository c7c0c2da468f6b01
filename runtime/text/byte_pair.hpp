// BytePair: byte-pair encoding, the text-to-ids half of a vocabulary whose pieces were made by joining neighbours.
//
//   "low er" → l o w _ e r → joined, best pair first → "low", " er"
//
// A word begins as its characters or bytes; the best pair of neighbours is joined, the leftmost of equals, until no
// pair can be. What is best is one of two rules:
//   by score   the pair whose concatenation is the piece with the highest score (T. Kudo, J. Richardson,
//              "SentencePiece", 2018; A. Karpathy's llama2.c; OpenAI's tiktoken, where the score is −rank)
//   by list    the pair that comes first in a list of pairs (R. Sennrich, B. Haddow, A. Birch, "Neural Machine
//              Translation of Rare Words with Subword Units", 2016; GPT-2)
// The result is that of the plain algorithm in O(n log n).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/joints.hpp"
#include "runtime/text/piece_table.hpp"
#include "runtime/text/tokenizer_data.hpp"
#include "runtime/text/word_cache.hpp"

namespace tessera {

/// Immutable after creation; any thread, with a scratch of its own. Keeps views of `data`, which must outlive it.
class BytePair {
 public:
  /// One for a text; used for all its words with the same vector of ids.
  class Scratch {
   private:
    friend class BytePair;
    /// An id that stands for a part of the word. Symbols form a list by index; joined ones stay, unused.
    struct Symbol {
      std::uint32_t begin;
      std::uint32_t previous;
      std::uint32_t next;
      TokenId id;  // unknown_symbol, gone, or a piece
    };
    /// A pair of neighbours that can be joined. Stale when one of the two was joined otherwise.
    struct Candidate {
      std::uint64_t order;  // rank, then place: the least is joined first
      std::uint32_t left;
      std::uint32_t right;
      std::uint32_t end;  // of the right one
      TokenId id;
      bool operator<(const Candidate& other) const { return order > other.order; }  // for a heap
    };

    std::vector<Symbol> symbols_;
    std::vector<Candidate> candidates_;
    WordCache cache_;
    Merge last_;                  // that join_all() made
    bool after_unknown_ = false;  // what was appended last is an unknown that takes further ones in
    bool saw_unknown_ = false;    // in the run at hand
  };

  BytePair() = default;
  /// `usable[id]`: whether plain text may become this piece; of equal pieces the lowest usable id counts. `data` is
  /// checked: ids are in range, scores finite, merges concatenate to usable pieces. Errors: corrupt.
  static Result<BytePair> create(const TokenizerData& data, const std::vector<bool>& usable, const std::string& where);

  /// Appends the ids of `word`, below 4 GiB. A character that is no piece becomes its bytes' ids where there are any,
  /// or an unknown, or nothing.
  void encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const;

  TokenId find(std::string_view text) const { return table_.find(text); }

  /// The two that become `text`, which is not empty, where it is taken alone and joined to one; a side that is no piece
  /// is -1. Nothing where it is one character or byte, or stays several pieces: then no text makes the whole of it by
  /// joining, as what lies around a piece does not change how it is joined inside.
  std::optional<Merge> last_join(std::string_view text, Scratch& scratch) const;

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  static constexpr TokenId unknown_symbol = -1, gone = -2;

  void encode_characters(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const;
  void encode_run(std::string_view run, Scratch& scratch, std::vector<TokenId>& ids) const;
  void add_symbols(std::string_view run, Scratch& scratch) const;
  void propose(std::string_view run, Scratch& scratch, std::uint32_t left, std::uint32_t right) const;
  void join_all(std::string_view run, Scratch& scratch) const;
  void append_unknown(std::string_view text, Scratch& scratch, std::vector<TokenId>& ids) const;
  PairMerge join_of(std::string_view text, TokenId left, TokenId right) const;

  const TokenizerData* data_ = nullptr;
  PieceTable table_;
  std::vector<std::uint32_t> ranks_;  // by score: of each piece; equal scores have equal ranks
  PairTable pairs_;                   // by list
  std::array<TokenId, 256> bytes_{};  // the pieces of one byte
  Joints joints_;
};

}  // namespace tessera
