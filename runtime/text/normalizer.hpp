// Normalizer: what happens to text before it is cut into words: Unicode forms, case, SentencePiece's map of characters,
// the space before the first word.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/charsmap.hpp"
#include "runtime/text/piece_trie.hpp"
#include "runtime/text/regex.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// Immutable after creation; any thread, with a scratch of its own. Keeps a view of the steps, which must outlive it.
class Normalizer {
 public:
  Normalizer() = default;
  /// Errors: corrupt (a damaged map, a bad pattern), exhausted.
  static Result<Normalizer> create(std::span<const NormalizerStep> steps, const std::string& where);

  bool empty() const { return steps_.empty(); }
  /// `at_start`: whether `text` begins the whole text. `kept`: texts that a map of characters leaves as they are. Bytes
  /// that are no characters stay. Time and memory are linear in `text`, times the length of replacements.
  std::string apply(std::string_view text, bool at_start, const PieceTrie& kept, Regex::Scratch& scratch) const;

 private:
  struct Step {
    const NormalizerStep* what = nullptr;
    Charsmap map;              // charsmap
    std::vector<Regex> regex;  // replace_regex: one
  };

  static std::string apply_step(const Step& step, std::string text, bool at_start, const PieceTrie& kept,
                                Regex::Scratch& scratch);

  std::vector<Step> steps_;
};

}  // namespace tessera
