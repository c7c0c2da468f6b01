// Splitter: cuts text into the words that a model then cuts into pieces; no piece crosses a border of words.
//
// Each step cuts what the step before left: "pre-tokenizers" in Hugging Face's tokenizers, whose behaviours these are.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/regex.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// Words of GPT-2: runs of letters, of digits, or of anything else, with the one space before them; English
/// contractions; blanks. A. Radford et al., "Language models are unsupervised multitask learners", 2019.
inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Immutable after creation; any thread, with a scratch of its own.
class Splitter {
 public:
  struct Scratch {
    Regex::Scratch regex;
    std::vector<std::string_view> words, cut;
  };

  Splitter() = default;
  /// Errors: those of Regex::compile.
  static Result<Splitter> create(std::span<const SplitStep> steps, const std::string& where);

  bool empty() const { return steps_.empty(); }
  /// The words of `text`, in order, none empty; views of `text`, valid until the next call with the same scratch. Bytes
  /// that are no characters are words of their own.
  std::span<const std::string_view> split(std::string_view text, Scratch& scratch) const;

 private:
  struct Step {
    Regex regex;
    SplitBehavior behavior;
    bool inverted;
  };

  static void cut(const Step& step, std::string_view text, Regex::Scratch& scratch, std::vector<std::string_view>& out);

  std::vector<Step> steps_;
};

}  // namespace tessera
