// What holds for every story, checked over thousands: language, consistency, variety.
#include "examples/stories/story.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "examples/stories/plot.hpp"
#include "tests/support/sanitizers.hpp"

namespace {

using namespace tessera::stories;

constexpr std::uint64_t seed = 20;
// What holds for every story holds for fewer where each takes long.
constexpr std::uint64_t story_count = tessera::test::sanitized ? 300 : 3000;

const std::vector<Story>& stories() {
  static const std::vector<Story> all = [] {
    std::vector<Story> written;
    for (std::uint64_t number = 0; number < story_count; ++number) written.push_back(write_story(seed, number));
    return written;
  }();
  return all;
}

/// Words without the punctuation around them, as they are written.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char letter : text) {
    if (std::isalpha(static_cast<unsigned char>(letter)) || (letter == '\'' && !words.back().empty())) {
      words.back() += letter;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::vector<std::string> sentences_of(std::string_view text) {
  std::vector<std::string> sentences(1);
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == ' ' && sentences.back().empty()) continue;
    sentences.back() += text[at];
    if (std::string_view(".!?").find(text[at]) != std::string_view::npos) sentences.emplace_back();
  }
  if (sentences.back().empty()) sentences.pop_back();
  return sentences;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// What matches first, in quotes; or nothing.
std::string first_match(const std::string& text, const std::regex& pattern) {
  std::smatch found;
  return std::regex_search(text, found, pattern) ? "'" + found.str() + "'" : "";
}

BOOST_AUTO_TEST_SUITE(stories_story)

BOOST_AUTO_TEST_CASE(stories_have_the_promised_length_in_one_line) {
  for (const Story& story : stories()) {
    const std::size_t words = count_words(story.text);
    BOOST_TEST((words >= story_words_min && words <= story_words_max), story.text);
    BOOST_TEST(!contains(story.text, "\n"));
  }
}

BOOST_AUTO_TEST_CASE(nothing_of_a_template_is_left_and_punctuation_is_right) {
  // No signs of templates, no blanks too many, no two stops together, no letter behind a stop.
  const std::regex wrong(R"([{}\[\]|~_/]|  |^ | $| [.,!?]|[.,!?][.,!?]|[.,!?][A-Za-z]|""|,$|;)");
  for (const Story& story : stories()) {
    BOOST_TEST(first_match(story.text, wrong) == "", story.text);
    BOOST_TEST(std::string_view(".!?\"").find(story.text.back()) != std::string_view::npos, story.text);
    for (const char letter : story.text) {
      BOOST_TEST(
          (std::isalpha(static_cast<unsigned char>(letter)) || contains(" .,!?\"':", std::string_view(&letter, 1))),
          story.text);
    }
  }
}

BOOST_AUTO_TEST_CASE(quotes_open_before_a_word_and_close_after_a_stop) {
  for (const Story& story : stories()) {
    const std::string& text = story.text;
    bool open = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '"') continue;
      open = !open;
      if (open) {
        BOOST_TEST((at == 0 || text[at - 1] == ' '), text);
        // Speech that goes on after "said Lily," begins small.
        const bool goes_on = at > 1 && text[at - 2] == ',' && std::islower(static_cast<unsigned char>(text[at + 1]));
        BOOST_TEST((goes_on || std::isupper(static_cast<unsigned char>(text[at + 1]))), text.substr(at));
      } else {
        BOOST_TEST((at > 0 && contains(".,!?", text.substr(at - 1, 1))), text);
        BOOST_TEST((at + 1 == text.size() || text[at + 1] == ' '), text);
      }
    }
    BOOST_TEST(!open, text);
  }
}

BOOST_AUTO_TEST_CASE(sentences_begin_with_a_capital_letter) {
  const std::regex wrong(R"re((^|[.!?] "?|\." )[a-z])re");
  for (const Story& story : stories()) {
    BOOST_TEST(first_match(story.text, wrong) == "", story.text);
  }
}

BOOST_AUTO_TEST_CASE(capital_letters_stand_only_where_sentences_begin_and_in_names) {
  // What is written small somewhere is no name: it has a capital only behind a stop or a quote.
  std::set<std::string> small;
  for (const Story& story : stories()) {
    for (const std::string& word : words_of(story.text)) {
      if (std::islower(static_cast<unsigned char>(word[0]))) small.insert(word);
    }
  }
  const std::regex capital(R"re([a-z,'] ([A-Z][a-z']*))re");
  for (const Story& story : stories()) {
    for (std::sregex_iterator found(story.text.begin(), story.text.end(), capital), end; found != end; ++found) {
      std::string word = (*found)[1].str();
      word[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(word[0])));
      BOOST_TEST((!small.contains(word) || word == "hazel"), (*found)[0].str() << " in: " << story.text);
    }
  }
}

BOOST_AUTO_TEST_CASE(articles_fit_their_words) {
  for (const Story& story : stories()) {
    const std::vector<std::string> words = words_of(story.text);
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
      const bool vowel = contains("aeiouAEIOU", words[i + 1].substr(0, 1));
      if (words[i] == "a" || words[i] == "A") BOOST_TEST(!vowel, words[i] << " " << words[i + 1] << ": " << story.text);
      if (words[i] == "an" || words[i] == "An")
        BOOST_TEST(vowel, words[i] << " " << words[i + 1] << ": " << story.text);
    }
  }
}

BOOST_AUTO_TEST_CASE(no_word_stands_twice_in_a_row) {
  const std::regex twice(R"re(\b([A-Za-z]+) \1\b)re");
  for (const Story& story : stories()) {
    BOOST_TEST(first_match(story.text, twice) == "", story.text);
  }
}

// It needs so many stories that every name comes.
BOOST_AUTO_TEST_CASE(a_story_names_two_friends_and_at_most_one_elder_all_the_way_through,
                     *boost::unit_test::precondition(tessera::test::NotSanitized())) {
  // Names: words with a capital that never stand small, apart from "I" and what is said at a time of day.
  const std::set<std::string> no_names = {"I", "Monday", "Sunday", "X", "Grandma", "Grandpa", "Mom", "Dad", "Mother"};
  const std::regex in_sentence(R"re([a-z,] ([A-Z][a-z]+))re");
  std::set<std::string> names;
  for (const Story& story : stories()) {
    for (std::sregex_iterator found(story.text.begin(), story.text.end(), in_sentence), end; found != end; ++found) {
      if (!no_names.contains((*found)[1].str()) && contains(story.text, "named " + (*found)[1].str())) {
        names.insert((*found)[1].str());
      }
    }
  }
  BOOST_TEST(names.size() == 60);  // every name of the cast
  for (const Story& story : stories()) {
    std::map<std::string, int> named, elders;
    for (std::string word : words_of(story.text)) {
      if (word.ends_with("'s")) word.resize(word.size() - 2);
      if (names.contains(word)) ++named[word];
      if (word == "Mom" || word == "Dad" || word == "Grandma" || word == "Grandpa") ++elders[word];
    }
    BOOST_TEST(named.size() == 2, story.text);
    BOOST_TEST(elders.size() <= 1, story.text);
    for (const auto& [name, count] : named) BOOST_TEST(count >= 2, name << " in: " << story.text);
  }
}

BOOST_AUTO_TEST_CASE(the_object_of_a_story_keeps_its_color) {
  const std::regex colored(
      R"re(\b(red|blue|green|yellow|white|orange|pink|brown|shiny|golden) )re"
      R"re((ball|kite|drum|hat|scarf|lantern|bell|boat|basket|blanket|whistle|flag|umbrella|doll|bucket|toy horse)\b)re");
  int checked = 0;
  for (const Story& story : stories()) {
    std::set<std::string> seen;
    for (std::sregex_iterator found(story.text.begin(), story.text.end(), colored), end; found != end; ++found) {
      seen.insert((*found)[0].str());
    }
    BOOST_TEST(seen.size() <= 1, story.text);
    checked += static_cast<int>(seen.size());
  }
  BOOST_TEST(checked > story_count / 3);
}

BOOST_AUTO_TEST_CASE(there_are_many_sentences_few_words_and_every_plot,
                     *boost::unit_test::precondition(tessera::test::NotSanitized())) {
  std::set<std::string> sentences, words;
  std::map<std::string_view, std::uint64_t> plots;
  for (const Story& story : stories()) {
    for (std::string& sentence : sentences_of(story.text)) sentences.insert(std::move(sentence));
    for (std::string& word : words_of(story.text)) {
      std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
      words.insert(std::move(word));
    }
    ++plots[story.plot];
  }
  BOOST_TEST_MESSAGE(sentences.size() << " sentences, " << words.size() << " words");
  BOOST_TEST(sentences.size() > 20000);
  BOOST_TEST(words.size() > 1000);
  BOOST_TEST(words.size() < 1500);
  BOOST_TEST(plots.size() == all_plots().size());
  BOOST_TEST(plots.size() >= 20);
  for (const auto& [plot, count] : plots) {
    BOOST_TEST(count > story_count / all_plots().size() / 2, plot << ": " << count);
  }
}

BOOST_AUTO_TEST_CASE(plots_have_names_of_their_own_and_draws_that_fit) {
  std::set<std::string_view> names;
  for (const Plot& plot : all_plots()) {
    BOOST_TEST(names.insert(plot.name).second, plot.name);
    BOOST_TEST(plot.steps.size() >= 7, plot.name);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
