// Scored byte-pair encoding: the text-to-ids half of a SentencePiece-style BPE vocabulary.
//
//   "low er" → l o w _ e r → merges, best score first → "low", " er"
//
// The result is that of the plain algorithm (replace the adjacent pair whose concatenation is the best-scored piece,
// the leftmost of equals, until no pair is a piece; A. Karpathy's llama2.c, after T. Kudo, J. Richardson,
// "SentencePiece", 2018) in O(n log n).
#pragma once

#include <bitset>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/base/ids.hpp"

namespace tessera {

/// Immutable after construction; any thread. Keeps views into `pieces` and `scores`, which must outlive it.
class ScoredBpe {
 public:
  ScoredBpe() = default;
  /// `usable[id]`: whether plain text may become this piece; of equal pieces the lowest usable id counts. All spans are
  /// of one length, and no score is NaN.
  ScoredBpe(std::span<const std::string> pieces, std::span<const float> scores, const std::vector<bool>& usable);

  /// The id whose piece is `text`, or -1.
  TokenId find(std::string_view text) const;
  /// Appends the ids of `text`. A character that is no piece becomes `first_byte` + each of its bytes, or one `unknown`
  /// where `first_byte` is -1, or nothing where both are. Such ids take no part in merges.
  void encode(std::string_view text, TokenId first_byte, TokenId unknown, std::vector<TokenId>& ids) const;

 private:
  struct Symbol;
  struct Candidate;
  class Merger;

  bool may_join(char last, char first) const {
    return joints_[static_cast<std::size_t>(static_cast<unsigned char>(last)) << 8 | static_cast<unsigned char>(first)];
  }

  std::span<const std::string> pieces_;
  std::span<const float> scores_;
  std::unordered_map<std::string_view, TokenId> ids_;
  std::bitset<65536> joints_;  // the pairs of neighbouring bytes in all usable pieces
  std::size_t longest_ = 0;    // bytes of the longest usable piece
};

}  // namespace tessera
