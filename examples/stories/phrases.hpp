// Phrases: text from templates, with choices that a seed decides.
//
//   phrases.set("thing", "apple");
//   phrases.sentence("[one day|in the morning], {A} found a~ {thing}.")      // "One day, Mia found an apple."
//
// In a template, [one|two] is one of the alternatives, all equally likely, and they nest; {name} is what was set under
// that name; `a~` is "a" or "an" as the next word wants. Sentences begin with a capital letter, whatever begins them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "runtime/base/rng.hpp"

namespace tessera::stories {

/// Draws that are a function of (seed, story, attempt) and of how many came before: the same on every machine.
class Choice {
 public:
  Choice(std::uint64_t seed, std::uint64_t story, std::uint32_t attempt)
      : key_(philox_key(seed)), story_(story), attempt_(attempt) {}
  /// 0 .. count-1, each equally likely (to one part in 2^32). `count` is not 0.
  std::size_t below(std::size_t count);
  bool percent(unsigned share) { return below(100) < share; }

 private:
  PhiloxKey key_;
  std::uint64_t story_;
  std::uint32_t attempt_;
  std::uint32_t drawn_ = 0;
};

/// One story's names. One thread. A template that is not well formed, or names what is not set, is a bug.
class Phrases {
 public:
  explicit Phrases(Choice& choice) : choice_(choice) {}
  /// The value is expanded now, so that all its uses are the same.
  void set(const std::string& name, std::string_view value);
  const std::string& get(const std::string& name) const;
  /// Expanded, with articles and capitals.
  std::string sentence(std::string_view text) const;

 private:
  void expand(std::string_view text, std::string& out) const;
  std::size_t expand_choice(std::string_view text, std::size_t open, std::string& out) const;

  Choice& choice_;
  std::map<std::string, std::string> values_;
};

}  // namespace tessera::stories
