// Templates: choices, names, articles, capitals.
#include "examples/stories/phrases.hpp"

#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include <boost/test/unit_test.hpp>

namespace {

using namespace tessera::stories;

BOOST_AUTO_TEST_SUITE(stories_phrases)

BOOST_AUTO_TEST_CASE(names_become_what_was_set) {
  Choice choice(1, 2, 0);
  Phrases phrases(choice);
  phrases.set("A", "Mia");
  phrases.set("who", "{A} and Tom");
  BOOST_TEST(phrases.sentence("{who} saw {A}.") == "Mia and Tom saw Mia.");
}

BOOST_AUTO_TEST_CASE(a_choice_inside_a_value_is_made_once) {
  for (std::uint64_t number = 0; number < 50; ++number) {
    Choice choice(1, number, 0);
    Phrases phrases(choice);
    phrases.set("x", "[one|two|three]");
    const std::string text = phrases.sentence("A {x}, {x}");
    BOOST_TEST(text == "A " + phrases.get("x") + ", " + phrases.get("x"));
  }
}

BOOST_AUTO_TEST_CASE(every_alternative_comes_about_equally_often_also_nested_ones) {
  std::map<std::string, int> seen;
  for (std::uint64_t number = 0; number < 4000; ++number) {
    Choice choice(7, number, 0);
    ++seen[Phrases(choice).sentence("x[a|[b|c]]")];
  }
  BOOST_TEST(seen.size() == 3);
  BOOST_TEST(std::abs(seen["Xa"] - 2000) < 200);
  BOOST_TEST(std::abs(seen["Xb"] - 1000) < 200);
}

BOOST_AUTO_TEST_CASE(articles_follow_the_next_word) {
  Choice choice(1, 1, 0);
  Phrases phrases(choice);
  phrases.set("old", "old");
  BOOST_TEST(phrases.sentence("I saw a~ {old} dog, a~ dog and a~ owl.") == "I saw an old dog, a dog and an owl.");
}

BOOST_AUTO_TEST_CASE(sentences_begin_with_a_capital_letter) {
  Choice choice(1, 1, 0);
  const Phrases phrases(choice);
  BOOST_TEST(phrases.sentence("he came. she went! why? so") == "He came. She went! Why? So");
  BOOST_TEST(phrases.sentence("\"why?\" asked Tom. \"so.\" he went.") == "\"Why?\" asked Tom. \"So.\" He went.");
  BOOST_TEST(phrases.sentence("\"no,\" he said. \"go!\" cried he.") == "\"No,\" he said. \"Go!\" cried he.");
}

BOOST_AUTO_TEST_CASE(empty_alternatives_leave_no_blanks_behind) {
  Choice choice(1, 1, 0);
  const Phrases phrases(choice);
  BOOST_TEST(phrases.sentence("[|] Tom went [|] home [|]. [|]") == "Tom went home.");
}

BOOST_AUTO_TEST_CASE(draws_are_a_function_of_seed_story_and_attempt) {
  const auto draws = [](std::uint64_t seed, std::uint64_t story, std::uint32_t attempt) {
    Choice choice(seed, story, attempt);
    std::string all;
    for (int i = 0; i < 20; ++i) all += std::to_string(choice.below(1000)) + " ";
    return all;
  };
  const std::set<std::string> different = {draws(1, 1, 0), draws(2, 1, 0), draws(1, 2, 0), draws(1, 1, 1),
                                           draws(1, 1 + (std::uint64_t{1} << 32), 0)};
  BOOST_TEST(different.size() == 5);
  BOOST_TEST(draws(1, 1, 0) == draws(1, 1, 0));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
