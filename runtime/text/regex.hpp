// Regex: a pattern of a tokenizer, run by PCRE2 with its just-in-time compiler. The only file that knows PCRE2.
//
// Patterns come from outside. Their length, nesting and compiled size are limited, and so are the steps and the memory
// of a match. A pattern that reaches those limits on short runs of one letter is refused when it is compiled.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

class Regex {
 public:
  /// What a thread needs to search; made once for many searches.
  class Scratch {
   public:
    Scratch();
    Scratch(Scratch&&) noexcept;
    Scratch& operator=(Scratch&&) noexcept;
    ~Scratch();

   private:
    friend class Regex;
    struct State;
    std::unique_ptr<State> state_;
  };

  struct Match {
    std::size_t begin = 0, end = 0;
    bool found = false;
  };

  /// UTF-8 with Unicode classes (\w, \d, \s, \p{…}). Errors: corrupt (no pattern of PCRE2, or one that takes too long),
  /// exhausted. `where` names the tokenizer.
  static Result<Regex> compile(const std::string& pattern, const std::string& where);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// The first match at or after `from` that is not empty. `text` is valid UTF-8, and `from` the start of a character.
  /// Where the limits of a match are reached, there is none. Any thread, with a scratch of its own.
  Match find(std::string_view text, std::size_t from, Scratch& scratch) const;

 private:
  struct Code;
  enum class Outcome { found, nothing, gave_up };
  explicit Regex(std::unique_ptr<const Code> code);
  Outcome search(std::string_view text, std::size_t from, Scratch& scratch, Match& match) const;
  bool gives_up_on_runs() const;

  std::unique_ptr<const Code> code_;
};

/// A pattern that matches exactly `text`.
std::string quote_pattern(std::string_view text);

}  // namespace tessera
