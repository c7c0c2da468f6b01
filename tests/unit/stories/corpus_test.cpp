// Corpora: two files that share no story, the same bytes for the same seed.
#include "examples/stories/corpus.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"
#include "tests/support/sanitizers.hpp"

namespace {

using namespace tessera;
using namespace tessera::stories;

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

CorpusReport write(const std::string& folder, const CorpusOptions& options) {
  Result<CorpusReport> report = write_corpus(folder, options);
  BOOST_REQUIRE_MESSAGE(report, report.error().message);
  return std::move(*report);
}

/// Stories are separated by an empty line, and the file ends with a line break.
std::vector<std::string> paragraphs(const std::string& text) {
  std::vector<std::string> all;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find("\n\n", begin), text.size() - 1);
    all.push_back(text.substr(begin, end - begin));
    begin = end + 2;
  }
  return all;
}

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001B3;
  return hash;
}

BOOST_AUTO_TEST_SUITE(stories_corpus)

BOOST_AUTO_TEST_CASE(train_and_validation_share_no_story_and_no_story_comes_twice) {
  test::TemporaryFolder folder;
  const std::uint64_t count = test::sanitized ? 800 : 4000;
  const CorpusReport report = write(folder.file("corpus"), {.seed = 5, .stories = count});
  std::set<std::string> all;
  for (const PartReport* const part : {&report.train, &report.valid}) {
    const std::string text = read(part->path);
    BOOST_TEST(text.size() == part->bytes);
    BOOST_TEST(text.back() == '\n');
    const std::vector<std::string> stories = paragraphs(text);
    BOOST_TEST(stories.size() == part->stories);
    std::uint64_t words = 0;
    for (const std::string& story : stories) {
      BOOST_TEST(story.find('\n') == std::string::npos);
      BOOST_TEST(all.insert(story).second, story);
      words += count_words(story);
    }
    BOOST_TEST(words == part->words);
  }
  BOOST_TEST(all.size() == count);
  BOOST_TEST(report.valid.stories > count * 3 / 100);
  BOOST_TEST(report.valid.stories < count * 7 / 100);
}

BOOST_AUTO_TEST_CASE(a_seed_gives_the_same_bytes_on_every_machine) {
  test::TemporaryFolder folder;
  const CorpusReport report = write(folder.file("corpus"), {.seed = 1, .stories = 300});
  BOOST_TEST(hash_of(read(report.train.path)) == 0xf297e41dff18106bu);
  BOOST_TEST(hash_of(read(report.valid.path)) == 0xb96a4e795fbe91a4u);
}

BOOST_AUTO_TEST_CASE(another_seed_gives_other_stories) {
  BOOST_TEST(write_story(1, 0).text != write_story(2, 0).text);
  BOOST_TEST(write_story(1, 0).text != write_story(1, 1).text);
  BOOST_TEST(write_story(1, 0).text == write_story(1, 0).text);
}

BOOST_AUTO_TEST_CASE(a_longer_corpus_of_one_seed_begins_with_the_shorter_one) {
  test::TemporaryFolder folder;
  const CorpusReport small = write(folder.file("small"), {.seed = 9, .stories = 100});
  const CorpusReport large = write(folder.file("large"), {.seed = 9, .stories = 200});
  BOOST_TEST(read(large.train.path).starts_with(read(small.train.path)));
  BOOST_TEST(read(large.valid.path).starts_with(read(small.valid.path)));
}

BOOST_AUTO_TEST_CASE(bytes_end_a_corpus_after_the_story_that_reaches_them) {
  test::TemporaryFolder folder;
  const CorpusReport report = write(folder.file("corpus"), {.seed = 2, .bytes = 200000});
  const std::uint64_t bytes = report.train.bytes + report.valid.bytes;
  BOOST_TEST(bytes > 199000);
  BOOST_TEST(bytes < 202000);
}

BOOST_AUTO_TEST_CASE(without_validation_its_file_is_empty) {
  test::TemporaryFolder folder;
  const CorpusReport report = write(folder.file("corpus"), {.stories = 20, .valid_percent = 0});
  BOOST_TEST(report.train.stories == 20);
  BOOST_TEST(read(report.valid.path).empty());
}

BOOST_AUTO_TEST_CASE(impossible_requests_are_refused_and_change_nothing) {
  test::TemporaryFolder folder;
  const std::string corpus = folder.file("corpus");
  for (const CorpusOptions& options :
       {CorpusOptions{.stories = 0}, CorpusOptions{.stories = corpus_stories_max + 1}, CorpusOptions{.bytes = 0},
        CorpusOptions{.stories = 10, .valid_percent = 51}, CorpusOptions{.seed = 1, .stories = 1}}) {
    const Result<CorpusReport> report = write_corpus(corpus, options);
    BOOST_REQUIRE(!report);
    BOOST_TEST((report.error().code == ErrorCode::invalid_argument));
    BOOST_TEST(!std::filesystem::exists(corpus + "/train.txt"));
  }
  std::ofstream(folder.file("file")) << "x";
  const Result<CorpusReport> no_folder = write_corpus(folder.file("file"), {.stories = 10});
  BOOST_REQUIRE(!no_folder);
  BOOST_TEST(no_folder.error().message.find("file") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(writing_can_be_stopped_and_leaves_nothing) {
  test::TemporaryFolder folder;
  const std::string corpus = folder.file("corpus");
  const Result<CorpusReport> report =
      write_corpus(corpus, {.stories = 100}, [](std::uint64_t done, std::uint64_t) { return done < 5000; });
  BOOST_REQUIRE(!report);
  BOOST_TEST((report.error().code == ErrorCode::cancelled));
  BOOST_TEST(std::filesystem::is_empty(corpus));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
