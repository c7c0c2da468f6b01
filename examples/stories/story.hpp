// One story from a seed and a number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::stories {

inline constexpr std::size_t story_words_min = 80, story_words_max = 250;

struct Story {
  std::string text;       ///< one paragraph of story_words_min to story_words_max words, without a line break
  std::string_view plot;  ///< the name of its skeleton
};

/// The same for the same (seed, number) on every machine. Any thread.
Story write_story(std::uint64_t seed, std::uint64_t number);

/// Words are what blanks separate.
std::size_t count_words(std::string_view text);

}  // namespace tessera::stories
