// Training of byte-level BPE vocabularies: the pair of pieces that stands side by side most often becomes a piece,
// again and again (R. Sennrich, B. Haddow, A. Birch, "Neural machine translation of rare words with subword units", ACL
// 2016), over bytes and within the words of GPT-2.
//
//   TESSERA_TRY(auto counts, WordCounts::create());
//   TESSERA_CHECK(counts.add_file("train.txt"));
//   TESSERA_TRY(auto vocabulary, train_bpe(counts.words(), {.vocab_size = 1024}));
//   write(tokenizer_json(vocabulary));
//
// The result is a function of the counted words alone: of pairs that occur equally often the one of the smallest ids
// (left, then right) is merged. Neighbours in one word that overlap are both counted, so "aaa" has the pair "aa" twice.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/text/word_counts.hpp"

namespace tessera {

/// Ids of the vocabulary before any merge: `<|endoftext|>`, then every byte.
inline constexpr std::uint32_t bpe_base_pieces = 257;
inline constexpr std::uint32_t bpe_vocab_size_max = 65536;

struct BpeTrainerOptions {
  std::uint32_t vocab_size = 1024;   ///< special token and bytes included
  std::uint64_t pair_count_min = 2;  ///< a pair that is rarer becomes no piece
  /// Called now and then with the merges done and wanted; false stops.
  std::function<bool(std::uint32_t done, std::uint32_t total)> progress;
};

struct BpeMerge {
  TokenId left, right;
  auto operator<=>(const BpeMerge&) const = default;
};

/// Id 0 is `<|endoftext|>`; 1 to 256 are the bytes in the order of byte_characters(); then one piece per merge, in the
/// order in which they were made. (A merge may, in odd corpora, give a piece that exists; it then has no id of its
/// own.)
struct BpeVocabulary {
  std::vector<std::string> pieces;  ///< raw bytes by id
  std::vector<BpeMerge> merges;     ///< by rank
  std::uint64_t corpus_tokens = 0;  ///< of the counted words in this vocabulary
};

/// O(n log n) in the bytes of distinct words. Errors: invalid_argument (vocabulary too small or too large, empty
/// corpus, corpus too small for so many pieces), cancelled.
Result<BpeVocabulary> train_bpe(const WordCounts::Map& words, const BpeTrainerOptions& options = {});

}  // namespace tessera
