// WordCounts: how often each word of a corpus occurs: all that a BPE trainer needs of it.
//
//   TESSERA_TRY(auto counts, WordCounts::create());
//   TESSERA_CHECK(counts.add_file("train.txt", progress));
//   counts.words().at(" once")
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/splitter.hpp"

namespace tessera {

/// Text that separates documents in a corpus, and the special token of trained vocabularies.
inline constexpr std::string_view end_of_text = "<|endoftext|>";

struct WordLimits {
  /// Bytes of all distinct words; more are refused. Training takes about 20 times as much memory.
  std::size_t distinct_bytes_max = std::size_t{64} << 20;
  /// Longer words are counted as skipped, and no piece is made of them.
  std::size_t word_bytes_max = 1024;
  /// Bytes of a file that are read before it is cut at a line; where a stretch of this length has no line, it is cut
  /// between two characters.
  std::size_t chunk_bytes = std::size_t{4} << 20;
};

/// Words are those of GPT-2 (gpt2_pattern). One thread. Moves, does not copy.
class WordCounts {
 public:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
  };
  using Map = std::unordered_map<std::string, std::uint64_t, Hash, std::equal_to<>>;
  /// Called with bytes done and bytes in all; false stops.
  using Progress = std::function<bool(std::uint64_t done, std::uint64_t total)>;

  static Result<WordCounts> create(WordLimits limits = {});

  /// Counts the words of `text`; `<|endoftext|>` in it ends a document and is not counted. Errors: exhausted.
  Result<void> add(std::string_view text);
  /// The same for a file, in pieces that give the same words as the whole would. Errors: not_found, io, exhausted,
  /// cancelled (by `progress`).
  Result<void> add_file(const std::string& path, const Progress& progress = {});

  const Map& words() const { return counts_; }
  std::uint64_t bytes() const { return bytes_; }            ///< of text, separators included
  std::uint64_t word_count() const { return word_count_; }  ///< words of the text, counted each time
  std::uint64_t skipped() const { return skipped_; }        ///< words that were too long

 private:
  WordCounts(Splitter splitter, WordLimits limits) : splitter_(std::move(splitter)), limits_(limits) {}
  Result<void> add_document(std::string_view text);

  Splitter splitter_;
  Splitter::Scratch scratch_;
  WordLimits limits_;
  Map counts_;
  std::size_t distinct_bytes_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t word_count_ = 0;
  std::uint64_t skipped_ = 0;
};

}  // namespace tessera
