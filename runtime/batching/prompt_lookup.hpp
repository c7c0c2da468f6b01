// PromptLookup: guesses how a sequence goes on from what it holds already. Text repeats itself (names, quotations, code
// that is edited, answers that cite the question), so the tokens that followed the last occurrence of its last tokens
// are a good guess, and cost no model:
//
//   history   the old fox jumped over the wall . then the old fox │ ?
//                 ^^^^^^^ the last two tokens stood here before:    jumped, over, the, wall …
//
// Prompt Lookup Decoding (A. Saxena, 2023, github.com/apoorvumang/prompt-lookup-decoding), with an index instead of a
// search. A draft that runs into the end of the history goes on in itself, as in LZ77: a period of any length is found.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/batching/sequence.hpp"

namespace tessera {

/// The index of one sequence, as long as the sequence, confined to whoever plans the steps. Its tables hold one place
/// for each hash of an n-gram, that of the last one: what collides is forgotten, and every place found is compared with
/// the tokens. Time: constant for each token that is new since the last call, and for each token proposed. Memory: at
/// most 32 bytes for each token of the history.
class PromptLookup {
 public:
  static constexpr std::uint32_t suffix_tokens_max = 3;  ///< looked for first
  static constexpr std::uint32_t suffix_tokens_min = 2;  ///< one token alone says too little

  /// The next tokens of `sequence`, `count` of them, or none when its end occurs nowhere before. Its history begins
  /// with that of the call before.
  std::vector<TokenId> propose(const SequenceState& sequence, std::uint32_t count);

 private:
  static constexpr std::uint32_t tables = suffix_tokens_max - suffix_tokens_min + 1;

  void index(const SequenceState& sequence, std::uint32_t end);
  std::uint32_t& place(const SequenceState& sequence, std::uint32_t tokens, std::uint32_t end);

  /// By hash: where an n-gram of this length ended last, exclusive; 0: nowhere. A power of two in size.
  std::array<std::vector<std::uint32_t>, tables> ends_;
  std::uint32_t indexed_ = 0;  ///< n-grams that end here or before are in the tables
};

}  // namespace tessera
