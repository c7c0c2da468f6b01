#include "runtime/text/splitter.hpp"

#include <utility>

#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

/// Takes the parts of a text from left to right, alternately or not a match, and makes words of them.
class WordBuilder {
 public:
  WordBuilder(std::string_view text, SplitBehavior behavior, std::vector<std::string_view>& words)
      : text_(text), behavior_(behavior), words_(words) {}

  void add(std::size_t begin, std::size_t end, bool is_match) {
    if (begin == end) return;
    switch (behavior_) {
      case SplitBehavior::removed:
        if (!is_match) emit(begin, end);
        break;
      case SplitBehavior::isolated:
        emit(begin, end);
        break;
      case SplitBehavior::contiguous:
        extend_or_emit(begin, end, has_part_ && was_match_ == is_match);
        break;
      case SplitBehavior::merged_left:
        extend_or_emit(begin, end, has_part_ && is_match && !was_match_);
        break;
      case SplitBehavior::merged_right:
        extend_or_emit(begin, end, has_part_ && !is_match && was_match_);
        break;
    }
    has_part_ = true;
    was_match_ = is_match;
  }

 private:
  void emit(std::size_t begin, std::size_t end) {
    begin_ = begin;
    words_.push_back(text_.substr(begin, end - begin));
  }
  void extend_or_emit(std::size_t begin, std::size_t end, bool extends) {
    if (!extends) return emit(begin, end);
    words_.back() = text_.substr(begin_, end - begin_);
  }

  std::string_view text_;
  SplitBehavior behavior_;
  std::vector<std::string_view>& words_;
  std::size_t begin_ = 0;  // of the last word
  bool has_part_ = false, was_match_ = false;
};

}  // namespace

Result<Splitter> Splitter::create(std::span<const SplitStep> steps, const std::string& where) {
  Splitter splitter;
  for (const SplitStep& step : steps) {
    TESSERA_TRY(Regex regex, Regex::compile(step.pattern, where));
    splitter.steps_.push_back({std::move(regex), step.behavior, step.inverted});
  }
  return splitter;
}

void Splitter::cut(const Step& step, std::string_view text, Regex::Scratch& scratch,
                   std::vector<std::string_view>& out) {
  WordBuilder words(text, step.behavior, out);
  std::size_t at = 0;
  while (at < text.size()) {
    const Regex::Match match = step.regex.find(text, at, scratch);
    if (!match.found) break;
    words.add(at, match.begin, step.inverted);
    words.add(match.begin, match.end, !step.inverted);
    at = match.end;
  }
  words.add(at, text.size(), step.inverted);
}

std::span<const std::string_view> Splitter::split(std::string_view text, Scratch& scratch) const {
  scratch.words.clear();
  const auto add_valid = [&](std::string_view valid) {
    const std::size_t first = scratch.words.size();
    cut(steps_.front(), valid, scratch.regex, scratch.words);
    for (std::size_t step = 1; step < steps_.size(); ++step) {
      scratch.cut.clear();
      for (std::size_t word = first; word < scratch.words.size(); ++word) {
        cut(steps_[step], scratch.words[word], scratch.regex, scratch.cut);
      }
      scratch.words.resize(first);
      scratch.words.insert(scratch.words.end(), scratch.cut.begin(), scratch.cut.end());
    }
  };
  if (steps_.empty()) {
    if (!text.empty()) scratch.words.push_back(text);
    return scratch.words;
  }
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_bytes(text);
    if (valid > 0) add_valid(text.substr(0, valid));
    text.remove_prefix(valid);
    std::size_t invalid = 0;
    while (invalid < text.size()) {
      const Utf8Scan scan = scan_utf8(text.substr(invalid));
      if (scan.verdict == Utf8Verdict::complete) break;
      invalid += scan.length;
    }
    if (invalid > 0) scratch.words.push_back(text.substr(0, invalid));
    text.remove_prefix(invalid);
  }
  return scratch.words;
}

}  // namespace tessera
