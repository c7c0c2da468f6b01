// Gpt2Splitter: cuts text into the words of GPT-2, which no piece of a byte-level BPE vocabulary crosses.
//
//   "It's 12 o'clock!\n" → "It" "'s" " 12" " o" "'" "clock" "!" "\n"
//
// A word is a run of letters, of digits, or of anything else, with the one space before it; or an English contraction;
// or blanks. The pattern is that of A. Radford et al., "Language models are unsupervised multitask learners", 2019.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera {

/// Immutable after creation, but for the working memory of a search: one thread at a time. Moves, does not copy.
class Gpt2Splitter {
 public:
  /// Errors: exhausted (no memory for the compiled pattern).
  static Result<Gpt2Splitter> create();
  Gpt2Splitter(Gpt2Splitter&&) noexcept;
  Gpt2Splitter& operator=(Gpt2Splitter&&) noexcept;
  ~Gpt2Splitter();

  /// Appends the words of `text` in order, as views of it; together they are `text`. Runs of bytes that are no UTF-8
  /// are words of their own. O(n).
  void split(std::string_view text, std::vector<std::string_view>& words) const;

 private:
  struct Code;
  explicit Gpt2Splitter(std::unique_ptr<Code> code);
  void split_valid(std::string_view text, std::vector<std::string_view>& words) const;

  std::unique_ptr<Code> code_;
};

}  // namespace tessera
