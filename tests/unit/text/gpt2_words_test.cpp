// Words of GPT-2: examples by hand, and against the definition in words for ASCII text.
#include <cctype>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/text/splitter.hpp"

namespace {

using namespace tessera;

std::vector<std::string> split(std::string_view text) {
  const SplitStep step{std::string(gpt2_pattern), SplitBehavior::isolated, false};
  const Result<Splitter> splitter = Splitter::create(std::span(&step, 1), "GPT-2");
  BOOST_REQUIRE_MESSAGE(splitter, splitter.error().message);
  Splitter::Scratch scratch;
  const auto words = splitter->split(text, scratch);
  return {words.begin(), words.end()};
}

using Words = std::vector<std::string>;

/// The definition for ASCII, character by character.
Words split_ascii(const std::string& text) {
  const auto kind = [&](std::size_t at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    return std::isspace(byte) ? 's' : std::isalpha(byte) ? 'l' : std::isdigit(byte) ? 'n' : 'o';
  };
  Words words;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    if (text[at] == '\'') {
      for (const char* const ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
        if (text.compare(at, std::string_view(ending).size(), ending) == 0) end = at + std::string_view(ending).size();
      }
    }
    if (end == at) {
      std::size_t begin = at + (text[at] == ' ' && at + 1 < text.size() && kind(at + 1) != 's' ? 1 : 0);
      for (end = begin; end < text.size() && kind(end) == kind(begin);) ++end;
      // The last of several blanks is left for what follows.
      if (kind(begin) == 's' && end < text.size() && end - begin > 1) --end;
    }
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

BOOST_AUTO_TEST_SUITE(gpt2_words)

BOOST_AUTO_TEST_CASE(words_are_letters_digits_or_other_characters_with_one_space_before) {
  BOOST_TEST(split("It's 12 o'clock!\n") == (Words{"It", "'s", " 12", " o", "'", "clock", "!", "\n"}),
             boost::test_tools::per_element());
  BOOST_TEST(split("a  b\n\n c") == (Words{"a", " ", " b", "\n\n", " c"}), boost::test_tools::per_element());
  BOOST_TEST(split("x\n\ny  ") == (Words{"x", "\n", "\n", "y", "  "}), boost::test_tools::per_element());
  BOOST_TEST(split("").empty());
}

BOOST_AUTO_TEST_CASE(letters_and_digits_are_those_of_unicode) {
  BOOST_TEST(split("\u00C9t\u00E9 \u0663\u0664 \u65E5\u672C\u3002\u2003z") ==
                 (Words{"\u00C9t\u00E9", " \u0663\u0664", " \u65E5\u672C", "\u3002", "\u2003", "z"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_characters_are_words_of_their_own) {
  BOOST_TEST(split("ab\xFF\xFE"
                   "cd\xE2\x82") == (Words{"ab", "\xFF\xFE", "cd", "\xE2\x82"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(random_ascii_text_is_split_as_the_definition_says) {
  constexpr std::string_view alphabet = "aZb'strevmld  \n\t09.,!-";
  const PhiloxKey key = philox_key(5);
  for (std::uint32_t round = 0; round < 300; ++round) {
    std::string text;
    const std::uint32_t length = philox(key, {round, 0, 0, 1})[0] % 60;
    for (std::uint32_t i = 0; i < length; ++i) text += alphabet[philox(key, {round, i, 0, 0})[0] % alphabet.size()];
    BOOST_TEST_CONTEXT("text '" << text << "'") {
      BOOST_TEST(split(text) == split_ascii(text), boost::test_tools::per_element());
    }
  }
}

BOOST_AUTO_TEST_CASE(long_runs_of_one_kind_are_one_word) {
  for (const char* const letter : {"a", "7", "!", "\n", "\u00E9"}) {
    std::string run;
    for (int i = 0; i < 300000; ++i) run += letter;
    BOOST_TEST(split(run).size() == 1);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
