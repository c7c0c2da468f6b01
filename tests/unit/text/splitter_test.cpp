// Patterns that cut text into words: behaviours, invalid bytes, patterns that are refused.
#include "runtime/text/splitter.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/text/regex.hpp"

namespace {

using namespace tessera;
using namespace std::string_literals;

std::vector<std::string> split(const std::vector<SplitStep>& steps, std::string_view text) {
  const auto splitter = Splitter::create(steps, "t");
  BOOST_TEST_REQUIRE(static_cast<bool>(splitter), splitter.error().message);
  Splitter::Scratch scratch;
  std::vector<std::string> words;
  for (const std::string_view word : splitter->split(text, scratch)) words.emplace_back(word);
  return words;
}

#define CHECK_WORDS(actual, ...) \
  BOOST_TEST((actual) == (std::vector<std::string> __VA_ARGS__), boost::test_tools::per_element())

BOOST_AUTO_TEST_SUITE(splitter)

BOOST_AUTO_TEST_CASE(every_behaviour_does_with_matches_what_it_says) {
  const auto by = [](SplitBehavior behavior, bool inverted = false) {
    return split({{"-", behavior, inverted}}, "-a--b-");
  };
  CHECK_WORDS(by(SplitBehavior::removed), {"a", "b"});
  CHECK_WORDS(by(SplitBehavior::isolated), {"-", "a", "-", "-", "b", "-"});
  CHECK_WORDS(by(SplitBehavior::merged_left), {"-", "a-", "-", "b-"});
  CHECK_WORDS(by(SplitBehavior::merged_right), {"-a", "-", "-b", "-"});
  CHECK_WORDS(by(SplitBehavior::contiguous), {"-", "a", "--", "b", "-"});
  CHECK_WORDS(by(SplitBehavior::removed, true), {"-", "-", "-", "-"});
}

BOOST_AUTO_TEST_CASE(each_step_cuts_what_the_step_before_left) {
  const std::vector<SplitStep> steps = {{"[0-9]+", SplitBehavior::isolated, false},
                                        {"[0-9][0-9]", SplitBehavior::isolated, false}};
  CHECK_WORDS(split(steps, "ab12345c"), {"ab", "12", "34", "5", "c"});
  CHECK_WORDS(split({}, "ab c"), {"ab c"});
  CHECK_WORDS(split(steps, ""), {});
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_characters_are_words_of_their_own) {
  CHECK_WORDS(split({{R"(\p{L}+)", SplitBehavior::isolated, false}}, "ab\xFF\xFE\u00E9\xE2\x82"),
              {"ab", "\xFF\xFE", "\u00E9", "\xE2\x82"});
}

BOOST_AUTO_TEST_CASE(classes_are_those_of_unicode) {
  CHECK_WORDS(split({{R"(\p{Lu}|\d|\s)", SplitBehavior::isolated, false}}, "\u00C9a\u0663\u00A0"),
              {"\u00C9", "a", "\u0663", "\u00A0"});
}

void check_refused(const std::string& pattern, const std::string& cause) {
  const auto regex = Regex::compile(pattern, "t.json");
  BOOST_TEST_REQUIRE(!regex, "accepted: " << pattern.substr(0, 50));
  BOOST_TEST((regex.error().code == ErrorCode::corrupt));
  BOOST_TEST(regex.error().message.starts_with("t.json: tokenizer makes no sense: "), regex.error().message);
  BOOST_TEST(regex.error().message.find(cause) != std::string::npos, regex.error().message);
}

BOOST_AUTO_TEST_CASE(hostile_patterns_are_refused_with_the_cause) {
  check_refused("", "is empty");
  check_refused("(a", "PCRE2");
  check_refused("(a+)+$", "too many steps");
  check_refused("(?:(?:a|a)*b)*c", "too many steps");
  check_refused("((((a{1,100}){1,100}){1,100}){1,100})", "PCRE2");
  check_refused(std::string(200, '(') + "a" + std::string(200, ')'), "PCRE2");
  check_refused("(*LIMIT_MATCH=4000000000)a", "setting");
  check_refused("\\C", "PCRE2");
  check_refused("[a-z&&[^b]]", "intersection");
  check_refused("a\xFF", "UTF-8");
  check_refused(std::string(limits::step_bytes_max + 1, 'a'), "longer than");
}

BOOST_AUTO_TEST_CASE(a_match_that_is_empty_or_reaches_back_is_none) {
  CHECK_WORDS(split({{"x*", SplitBehavior::isolated, false}}, "axxb"), {"a", "xx", "b"});
  CHECK_WORDS(split({{"a(?=b)\\K", SplitBehavior::isolated, false}}, "abab"), {"abab"});
}

BOOST_AUTO_TEST_CASE(a_quoted_pattern_matches_itself_only) {
  const std::string text = "a.b*[c]\\^$ \n\u2581";
  CHECK_WORDS(split({{quote_pattern(text), SplitBehavior::isolated, false}}, "axb" + text + "y"), {"axb", text, "y"});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
